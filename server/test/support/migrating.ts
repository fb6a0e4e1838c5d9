import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { expect } from 'vitest';
import { setUp } from '../../setup/setup.ts';
import { testConfig, type TestDatabases } from './databases.ts';
import { sqlFolderWith } from './sql-folder.ts';

/** Between two writes of a writer: a replica on the same two cores must be able to keep up. */
const PAUSE_MS = 2;

export const ALL = 'id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at';
/** Puts users into the publication with one column more. */
export const PUBLISH = (column: string) => `
  alter publication readback drop table users;
  alter publication readback add table users (${ALL}, ${column});
  grant select (${column}) on users to readback_writer, readback_reader;`;

export const insertUser = (sql: postgres.Sql, name: string) =>
  sql`insert into users (username, email, password_hash) values (${name}, ${name} || '@example.com', '-') returning id`;

/** Runs `write` over and over on a few connections; stops, and tells how often it ran. */
export function writers(write: (writer: number, round: number) => Promise<unknown>): () => Promise<number> {
  let stopped = false;
  let count = 0;
  const loops = [0, 1, 2].map(async (writer) => {
    for (let round = 0; !stopped; round++) {
      await write(writer, round);
      count++;
      await sleep(PAUSE_MS);
    }
  });
  void Promise.allSettled(loops); // whoever stops them is told of a failure; if the test has failed already, nobody is
  return async () => {
    stopped = true;
    await Promise.all(loops);
    return count;
  };
}

/** What `readback migrate` does with these files besides the project's; returns what it said. */
export async function migrate({ config }: TestDatabases, files: Record<string, string>): Promise<string[]> {
  const said: string[] = [];
  await setUp(config, testConfig(), (line) => said.push(line), sqlFolderWith(files));
  return said;
}

export const refusal = (databases: TestDatabases, files: Record<string, string>) =>
  migrate(databases, files).then(
    () => 'not refused',
    (error: Error) => error.message,
  );

/** Returns when the replica has applied everything that the primary has committed. */
async function caughtUp({ primary, replicas: [replica] }: TestDatabases): Promise<void> {
  await primary`update readback.heartbeat set beat_at = clock_timestamp()`;
  const [row] = await primary`select pg_current_wal_flush_lsn()::text as lsn`;
  for (;;) {
    const [state] = await replica!`select applied >= ${row!['lsn']}::pg_lsn as arrived from readback.position()`;
    if (state!['arrived']) return;
    await sleep(10);
  }
}

/** Rows and a digest of all their replicated columns, as one side has them. */
async function contentOf(sql: postgres.Sql, table: string, columns: string): Promise<unknown> {
  const [row] = await sql.unsafe(`
    select count(*)::int as rows, md5(string_agg(md5((${columns})::text), '' order by id)) as digest from ${table}`);
  return { ...row };
}

export async function expectSame(databases: TestDatabases, table: string, columns: string): Promise<void> {
  const {
    primary,
    replicas: [replica],
  } = databases;
  await caughtUp(databases);
  expect(await contentOf(replica!, table, columns)).toEqual(await contentOf(primary, table, columns));
  expect(
    await replica!`
    select sum(apply_error_count)::int as apply, sum(sync_error_count)::int as sync from pg_stat_subscription_stats
    where subid = (select oid from pg_subscription where subdbid = (select oid from pg_database where datname = current_database()))`,
  ).toEqual([{ apply: 0, sync: 0 }]);
}
