import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ClassType } from 'type-graphql';
import '../../schema/project.ts';
import { connect, type Sql } from '../database/connect.ts';
import { tableNamed } from '../declare/declaration.ts';
import { rowsOf } from '../reads/rows.ts';
import { write, WRITES_PIPELINE, WRITES_TOGETHER } from '../database/writes.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { holdRows } from './support/faults.ts';

const CONNECTIONS = 2;
const users = rowsOf(tableNamed('users')!.type as ClassType<{ id: string; username: string }>).table;
let databases: TestDatabases;
let writer: Sql;
let ids: string[];

beforeAll(async () => {
  databases = await freshDatabases();
  writer = connect(databases.config.primary.url, {
    role: 'readback_writer',
    max: CONNECTIONS,
    pipeline: WRITES_PIPELINE,
    connectTimeoutMs: 5000,
    applicationName: 'writes',
  });
  const rows = await databases.primary`
    insert into users (username, email, password_hash) select 'user' || n, n || '@example.com', '-' from generate_series(1, 20) n returning id`;
  ids = rows.map((row) => row['id']);
});
afterAll(async () => {
  await writer.end();
  await databases.drop();
});

const renaming = (sql: Sql, index: number, username: string) =>
  users.update(sql, users.only(sql, ids[index]!), { username });
const rename = (index: number, username: string) => write(writer, renaming(writer, index, username));

/** From then on several writes go over each connection at once. */
async function prepareBoth() {
  const connections = await Promise.all([writer.reserve(), writer.reserve()]);
  for (const connection of connections) {
    await renaming(connection as Sql, 0, 'prepared');
    connection.release();
  }
}

test('where all connections are taken, writes go over them together, each with its own outcome, four at most', async () => {
  await prepareBoth();
  const release = await holdRows(databases.primary, ids.slice(0, 1));
  const names = ids.map((_, index) => (index === 5 ? 'new1' : `new${index}`));
  const [before] = await databases.primary<{ lsn: string }[]>`
    select (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text as lsn`;
  let settled = 0;
  const writes = names.map((name, index) => rename(index, name).finally(() => settled++));
  const all = Promise.allSettled(writes);
  // The first waits for its row, and three after it for the first.
  await expect.poll(() => settled).toBeGreaterThanOrEqual(ids.length - WRITES_TOGETHER);
  await rename(19, 'newer19');
  expect(settled).toBe(ids.length - WRITES_TOGETHER);
  await release();
  const outcomes = await all;
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === 'rejected') continue;
    expect(outcome.value.rows).toMatchObject([{ id: ids[index], username: names[index] }]);
    expect(outcome.value.flushed).toBeGreaterThan(BigInt(before!.lsn));
    const [row] = await databases.primary`
      select pg_current_wal_flush_lsn() >= ${outcome.value.flushed.toString()}::numeric + '0/0'::pg_lsn as is_past`;
    expect(row).toEqual({ is_past: true });
  }
  // Of the two with one name, whichever comes second.
  const failed = outcomes.flatMap((outcome, index) => (outcome.status === 'rejected' ? [{ index, ...outcome }] : []));
  expect(failed).toMatchObject([{ reason: { constraint_name: 'users_username_key' } }]);
  expect([1, 5]).toContain(failed[0]!.index);
});

test('a write that waits for a row holds up no other while a connection is free', async () => {
  const release = await holdRows(databases.primary, ids.slice(0, 1));
  const waits = rename(0, 'late');
  for (let index = 10; index < 15; index++) {
    const { rows } = await rename(index, `newer${index}`);
    expect(rows[0]!.username).toBe(`newer${index}`);
  }
  await release();
  expect((await waits).rows[0]!.username).toBe('late');
});

test('a write that is sent again, as its plan is gone, has a position past it all the same', async () => {
  await prepareBoth();
  const connections = await Promise.all([writer.reserve(), writer.reserve()]);
  for (const connection of connections) {
    const [row] = await connection`select name from pg_prepared_statements where statement like 'update%'`;
    await connection.unsafe(`deallocate "${row!['name']}"`);
    connection.release();
  }
  for (const index of [0, 1]) {
    const [before] = await databases.primary<{ lsn: string }[]>`
      select (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text as lsn`;
    const { rows, flushed } = await rename(index, `again${index}`);
    expect(rows[0]!.username).toBe(`again${index}`);
    expect(flushed).toBeGreaterThan(BigInt(before!.lsn));
  }
});
