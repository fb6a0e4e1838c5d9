import type { Sql } from '../database/connect.ts';
import type { Side } from './servers.ts';

/** A file of the first releases, by its checksum, of which each series has a part under the same number. */
interface Divided {
  version: number;
  was: string;
  engine: string;
  project: string;
}

const DIVIDED: Divided[] = [
  {
    version: 2,
    was: '134d408d511db0affac67870ec888f23',
    engine: 'eaf902970cc8d19e3aa0efaec07e62bf',
    project: '84b1ecc621f73d8fc1facc1e0a17175d',
  },
  {
    version: 10,
    was: 'e0a9d2f0de38132a32f4f4d4e94e8349',
    engine: '1c3e101bdaf3f352f74c28a0f81d304b',
    project: '1e54b165ea6e8fda5f37993f02d755e1',
  },
  {
    version: 20,
    was: 'f3d5b57c09d3c333c951b3ce9437543e',
    engine: '976c08a68418fe089f86ad8e9bacd825',
    project: '12588a82a2937395a05fe18acb4f8f41',
  },
];

/** Of those releases: the numbers that are Readback's alone, and the files that were divided. */
const EARLIER: Record<Side, { engine: number[]; divided: Divided[] }> = {
  primary: { engine: [1, 15, 17, 18], divided: DIVIDED },
  replica: { engine: [1, 18, 20], divided: [] },
};

/**
 * The first releases had one table of versions for Readback's files and the project's. Its rows are given to the two that
 * there are now, so that nothing is applied again. A checksum that is not the released file's stays as it is: whoever has
 * edited that file is told so.
 */
export async function divideVersions(sql: Sql, side: Side): Promise<void> {
  const [state] = await sql<[{ isOne: boolean }]>`
    select to_regclass('readback.migrations') is not null and to_regclass('readback.engine_migrations') is null as is_one`;
  if (!state.isOne) return;
  const { engine, divided } = EARLIER[side];
  const both = divided.map(({ version }) => version);
  await sql.begin((transaction) => [
    transaction`create table readback.engine_migrations (like readback.migrations including all)`,
    transaction`insert into readback.engine_migrations
      select * from readback.migrations where version in ${transaction([0, ...engine, ...both])}`,
    transaction`delete from readback.migrations where version in ${transaction(engine)}`,
    ...divided.flatMap(({ version, was, ...parts }) => [
      transaction`update readback.engine_migrations set md5 = ${parts.engine} where version = ${version} and md5 = ${was}`,
      transaction`update readback.migrations set md5 = ${parts.project} where version = ${version} and md5 = ${was}`,
    ]),
  ]);
}
