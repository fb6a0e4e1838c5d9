import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Sql } from '../db/connect.ts';
import { Writes } from '../replication/writes.ts';
import { users } from '../store/users.ts';
import { freshDatabases, type TestDatabases } from './databases.ts';
import { holdRows } from './faults.ts';

const CONNECTIONS = 2;
let databases: TestDatabases;
let writer: Sql;
let ids: string[];

beforeAll(async () => {
  databases = await freshDatabases();
  writer = connect(databases.config.primary.url, {
    role: 'readback_writer',
    max: CONNECTIONS,
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

const rename = (writes: Writes, index: number, username: string) =>
  writes.write((sql) => users.update(sql, ids[index]!, { username }));

test('writes that wait for a connection go over it together, each with its own outcome, four at most', async () => {
  const statements = databases.statements('primary', /^writes$/);
  let reservations = 0;
  const reserve = () => (reservations++, writer.reserve());
  const counted = new Proxy(writer, { get: (sql, name) => (name === 'reserve' ? reserve : Reflect.get(sql, name)) });
  const writes = new Writes(counted, CONNECTIONS);
  const release = await holdRows(databases.primary, ids.slice(0, CONNECTIONS));
  const names = ids.map((_, index) => (index === 5 ? 'new0' : `new${index}`));
  const write = (name: string, index: number) => rename(writes, index, name);
  const first = names.slice(0, CONNECTIONS).map(write);
  await expect.poll(() => statements().filter((text) => text.startsWith('update'))).toHaveLength(CONNECTIONS);
  const rest = names.slice(CONNECTIONS).map((name, index) => write(name, CONNECTIONS + index));
  const all = Promise.allSettled([...first, ...rest]);
  await release();
  for (const [index, outcome] of (await all).entries()) {
    if (outcome.status === 'fulfilled') {
      expect(outcome.value.rows).toMatchObject([{ id: ids[index], username: names[index] }]);
      const [row] = await databases.primary`
        select pg_current_wal_flush_lsn() >= ${outcome.value.flushed.toString()}::numeric + '0/0'::pg_lsn as is_past`;
      expect(row).toEqual({ is_past: true });
    } else expect([index, outcome.reason]).toMatchObject([5, { constraint_name: 'users_username_key' }]);
  }
  expect(statements().filter((text) => text.startsWith('update'))).toHaveLength(ids.length);
  // One of each of the first two; 18 that waited are five times four, or less where two connections share the rest.
  expect(reservations).toBeGreaterThanOrEqual(CONNECTIONS + 5);
  expect(reservations).toBeLessThanOrEqual(CONNECTIONS + 7);
});

test('a write that waits for a row holds up no other while a connection is free', async () => {
  const writes = new Writes(writer, CONNECTIONS);
  const release = await holdRows(databases.primary, ids.slice(0, 1));
  const waits = rename(writes, 0, 'late');
  for (let index = 10; index < 15; index++) {
    const { rows } = await rename(writes, index, `newer${index}`);
    expect(rows[0]!.username).toBe(`newer${index}`);
  }
  await release();
  expect((await waits).rows[0]!.username).toBe('late');
});

test('a write that is sent again, as its plan is gone, has a position behind it all the same', async () => {
  const writes = new Writes(writer, CONNECTIONS);
  // Prepared on both connections, and forgotten there.
  for (let round = 0; round < 2; round++)
    await Promise.all([0, 1].map((index) => rename(writes, index, `old${index}`)));
  const connections = await Promise.all([writer.reserve(), writer.reserve()]);
  for (const connection of connections) {
    const [row] = await connection`select name from pg_prepared_statements where statement like 'update%'`;
    await connection.unsafe(`deallocate "${row!['name']}"`);
    connection.release();
  }
  for (const index of [0, 1]) {
    const [before] = await databases.primary<{ lsn: string }[]>`
      select (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text as lsn`;
    const { rows, flushed } = await rename(writes, index, `again${index}`);
    expect(rows[0]!.username).toBe(`again${index}`);
    expect(flushed).toBeGreaterThan(BigInt(before!.lsn));
  }
});
