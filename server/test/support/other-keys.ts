import { join } from 'node:path';
import postgres from 'postgres';
import { addCommand } from '../../cli/add.ts';
import { setUp } from '../../setup/setup.ts';
import { testConfig, type TestDatabases } from './databases.ts';
import { projectCopy, run, type AtEnd } from './project-copy.ts';

/** Tables whose keys are no uuid named id: a bigint, two columns, and two columns of a partitioned table. */
const TABLES = `
  create table counters (id bigint generated always as identity primary key, marker text not null);
  create table pairs (left_id int, right_id text, marker text not null, primary key (left_id, right_id));
  create table shards (id int, day date, marker text not null, primary key (id, day)) partition by range (day);
  create table shards_old partition of shards for values from (minvalue) to ('2026-01-01');
  create table shards_new partition of shards for values from ('2026-01-01') to (maxvalue);
`;

/** Their columns, in the order of the key; and those of the example. */
export const KEYS: Readonly<Record<string, readonly string[]>> = {
  users: ['id'],
  posts: ['id'],
  counters: ['id'],
  pairs: ['left_id', 'right_id'],
  shards: ['id', 'day'],
};

/**
 * A copy of the project that serves them beside the example's tables, in these databases. Returns its folder, which can
 * be given again: what is written there is the same for all databases.
 */
export async function otherKeys(databases: TestDatabases, atEnd: AtEnd, made?: string): Promise<string> {
  const owner = postgres(databases.config.primary.adminUrl, { max: 1, onnotice: () => {} });
  await owner.unsafe(TABLES);
  await owner.end();
  const root = made ?? (await builtCopy(databases, atEnd));
  await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
  return root;
}

async function builtCopy(databases: TestDatabases, atEnd: AtEnd): Promise<string> {
  const root = await projectCopy(atEnd);
  const config = { ...testConfig(), databases: databases.config };
  await addCommand([], { all: true, without: [], send: [] }, config, () => {}, root);
  for (const [program, ...args] of [
    ['tsc', '-p', 'tsconfig.build.json'],
    ['node', 'infra/launch/program.mjs'],
  ]) {
    const said = run(root, program!, ...args);
    if (said !== 'ok') throw new Error(`${program} failed: ${said}`);
  }
  return root;
}
