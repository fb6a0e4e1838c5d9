import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { addCommand } from '../../../server/cli/add.ts';
import { setUp } from '../../../server/setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from '../../../server/test/support/databases.ts';
import { projectCopy, run, writeFiles } from '../../../server/test/support/project-copy.ts';

const PROJECT = `import 'reflect-metadata';
import type { Project } from '../server/graphql/schema/project.ts';

export const project: Project = { tables: [] };
`;

/** One table with every kind of input, one that it belongs to, and more than one finds at a glance. */
const TABLES = `
create type mood as enum ('sad', 'glad');
create table shelves (code text primary key, note text);
create table tools (
  id bigint generated always as identity primary key,
  label varchar(40) not null unique,
  mood mood,
  doc jsonb,
  weight numeric default 7,
  is_ready boolean not null default false,
  raw bytea,
  words text[],
  notes text,
  shelf text references shelves
);
${Array.from({ length: 8 }, (_, n) => `create table boxes_${'abcdefgh'[n]} (id int primary key);`).join('\n')}
insert into shelves values ('A/1', 'upper');
insert into tools (label, mood, doc, raw, words, notes, shelf)
select 'tool ' || lpad(n::text, 2, '0'), case when n % 2 = 0 then 'sad'::mood end, '{"n": 9007199254740993}', '\\x00ff', '{a,NULL}',
  repeat('long ', 1000), 'A/1'
from generate_series(1, 45) n`;

/** A project without accounts that serves tables of its own and none of the example's, added as they are. */
export async function workshop(): Promise<{ root: string; databases: TestDatabases }> {
  const databases = await freshDatabases({ settle: false });
  const root = await projectCopy();
  for (const folder of ['schema/tables', 'sql/primary', 'sql/replica'])
    for (const name of readdirSync(join(root, folder))) rmSync(join(root, folder, name));
  writeFiles(root, { 'schema/project.ts': PROJECT });
  await databases.primary.unsafe(TABLES);
  const config = { ...testConfig(), databases: databases.config };
  await addCommand([], { all: true, without: [], send: [] }, config, () => {}, root);
  for (const [program, ...args] of [
    ['tsc', '-p', 'tsconfig.build.json'],
    ['node', 'infra/launch/program.mjs'],
  ] as const) {
    const said = run(root, program, ...args);
    if (said !== 'ok') throw new Error(said);
  }
  await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
  return { root, databases };
}
