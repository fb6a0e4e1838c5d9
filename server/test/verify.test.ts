import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withServers } from '../setup/servers.ts';
import type { TableComparison } from '../operate/verify/compare.ts';
import { verify, type VerifyReport } from '../operate/verify/verify.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { disableSubscription } from './support/faults.ts';

/** More than the suite's: VERIFY_ROWS=1000000 npm test -- server/test/verify.test.ts */
const ROWS = Number(process.env['VERIFY_ROWS'] ?? 40_000);
const MOST_SECONDS = 60;

let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
beforeEach(async () => {
  databases = await freshDatabases();
  primary = databases.primary;
  replica = databases.replicas[0]!;
});
afterEach(() => databases.drop());

const OPTIONS = { chunkRows: 10_000, most: 100, timeoutMs: 30_000 };

const compare = (names: string[] = [], options: Partial<typeof OPTIONS> = {}): Promise<VerifyReport> =>
  withServers(databases.config, testConfig(), 'test', (servers) =>
    verify(servers, names, { ...OPTIONS, ...options }, () => {}),
  );

const tableOf = (report: VerifyReport, table: string): TableComparison =>
  report.replicas[0]!.tables.find((one) => one.table === table)!;

/** In parts: whoever makes a slot on this server meanwhile waits for the transactions that are open. */
async function makeUsers(count: number): Promise<void> {
  for (let from = 1; from <= count; from += 5000)
    await primary`
      insert into users (username, email, password_hash, first_name)
      select 'u' || n, n || '@example.com', '-', 'first ' || n
      from generate_series(${from}::int, ${Math.min(count, from + 4999)}::int) n`;
}

async function caughtUp(): Promise<void> {
  await primary`update readback.heartbeat set beat_at = clock_timestamp()`;
  const [row] = await primary`select pg_current_wal_flush_lsn()::text as lsn`;
  for (;;) {
    const [state] = await replica`select applied >= ${row!['lsn']}::pg_lsn as arrived from readback.position()`;
    if (state!['arrived']) return;
    await sleep(10);
  }
}

/** Updates users everywhere in the table, and inserts and deletes some, until it is stopped; tells how often. */
function writer(): () => Promise<number> {
  let stopped = false;
  let count = 0;
  const loop = (async () => {
    for (; !stopped; count++) {
      await primary`update users set last_name = ${`last ${count}`} where username in (${`u${1 + (count % ROWS)}`}, ${count % 10 === 0 ? 'u7' : '-'})`;
      await primary`insert into users (username, email, password_hash) values (${`w${count}`}, ${`w${count}@example.com`}, '-')`;
      if (count % 2 === 0) await primary`delete from users where username = ${`w${count / 2}`}`;
      await sleep(2);
    }
  })();
  void Promise.allSettled([loop]);
  return async () => {
    stopped = true;
    await loop;
    return count;
  };
}

test(
  `one changed byte among ${ROWS} rows is found while they are written, and nothing else`,
  { timeout: 600_000 },
  async () => {
    await makeUsers(ROWS);
    for (const sql of [primary, replica]) await sql`create index on users (username)`;
    await caughtUp();
    await primary`analyze users`;
    const stop = writer();
    const before = await compare();
    expect(before.isSame).toBe(true);
    const name = `u${Math.floor(ROWS / 2) + 1}`;
    const [row] =
      await replica`update users set first_name = overlay(first_name placing 'F' from 1) where username = ${name} returning id`;
    const report = await compare();
    const written = await stop();
    expect(report.isSame).toBe(false);
    expect(tableOf(report, 'public.users')).toMatchObject({
      state: 'different',
      differences: [{ key: { id: row!['id'] }, kind: 'differs', columns: ['first_name'] }],
      unsettled: 0,
    });
    expect(written).toBeGreaterThan(10);
    expect(report.seconds).toBeLessThan(MOST_SECONDS);
    console.log(`verify: ${ROWS} rows in ${report.seconds.toFixed(1)} s, ${written} rounds of writes meanwhile`);
  },
);

test('rows that are missing, that are too many, and that hold something else, by key', async () => {
  await makeUsers(100);
  await caughtUp();
  const id = async (name: string) => (await replica`select id from users where username = ${name}`)[0]!['id'] as string;
  const [gone, changed] = [await id('u1'), await id('u2')];
  await replica`delete from users where id = ${gone}`;
  await replica`update users set email = 'x', is_active = false where id = ${changed}`;
  const extra = 'ffffffff-ffff-4fff-bfff-ffffffffffff';
  await replica`insert into users select ${extra}, 'extra', 'e', null, null, true, true, now(), now()`;
  const { differences, rows } = tableOf(await compare(['users'], { chunkRows: 7 }), 'public.users');
  expect(rows).toBe(100);
  expect(new Map(differences.map(({ key, ...rest }) => [key['id'], rest]))).toEqual(
    new Map([
      [gone, { kind: 'missing', columns: [] }],
      [changed, { kind: 'differs', columns: ['email', 'is_active'] }],
      [extra, { kind: 'extra', columns: [] }],
    ]),
  );
});

/** On both sides, published and copied; the replica's holds the same. */
async function share(create: string, rows: string, published: string): Promise<void> {
  for (const sql of [primary, replica]) await sql.unsafe(create);
  await primary.unsafe(rows);
  const [row] =
    await replica`select subslotname from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`;
  await primary.unsafe(`grant select on things to ${row!['subslotname']}`);
  await primary.unsafe(`alter publication readback add table ${published}`);
  await replica`alter subscription readback refresh publication`;
  await expect
    .poll(
      async () =>
        (await replica`select from pg_subscription_rel where srrelid = 'things'::regclass and srsubstate = 'r'`).length,
      {
        timeout: 10_000,
      },
    )
    .toBe(1);
}

test('a key of several columns, text that sorts by language, and every kind of value', async () => {
  await share(
    `create table things ("Group" text, at timestamptz, n numeric, f float8, b bytea, j jsonb, a text[], span interval, primary key ("Group", at))`,
    `insert into things select chr(65 + g % 60) || 'ä', '2026-01-01'::timestamptz + g * interval '1 microsecond', g / 3.0, g / 3.0::float8,
       decode(lpad(to_hex(g), 4, '0'), 'hex'), jsonb_build_object('g', g), array[g::text, null], g * interval '1 hour' from generate_series(1, 500) g`,
    'things',
  );
  await replica.unsafe(`alter database ${databases.name} set bytea_output = escape`);
  await replica.unsafe(`alter database ${databases.name} set extra_float_digits = -5`);
  await replica.unsafe(`alter database ${databases.name} set timezone = 'Asia/Tokyo'`);
  expect(tableOf(await compare(['things'], { chunkRows: 10 }), 'public.things')).toMatchObject({
    state: 'same',
    rows: 500,
  });
  await replica`update things set f = f + 1e-12 where n = 1`;
  const { differences } = tableOf(await compare(['things'], { chunkRows: 10 }), 'public.things');
  expect(differences).toEqual([
    { key: { Group: 'Dä', at: '2026-01-01 00:00:00.000003+00' }, kind: 'differs', columns: ['f'] },
  ]);
});

test('a table without a key, whose publication sends some of its rows alone', async () => {
  await share(
    'create table things (n int, name text)',
    `alter table things replica identity full; insert into things select g % 50, 'x' from generate_series(1, 200) g`,
    'things where (n > 9)',
  );
  expect(tableOf(await compare(['things']), 'public.things')).toMatchObject({ state: 'same', rows: 160 });
  await replica`delete from things where ctid = (select ctid from things where n = 20 limit 1)`;
  await replica`insert into things values (20, 'y')`;
  const { differences } = tableOf(await compare(['things']), 'public.things');
  expect(differences.map(({ kind }) => kind).toSorted()).toEqual(['extra', 'missing']);
});

test('a replica that applies nothing is not compared, and that is said', async () => {
  const enable = await disableSubscription(replica);
  await expect(compare()).rejects.toThrow(/replica-1 .* has its subscription disabled.*run readback doctor/);
  await enable();
  await expect(compare(['nothing'])).rejects.toThrow(
    'Not published: nothing. There are: public.posts, public.users, readback.heartbeat.',
  );
});

test('past the most differences that are named it ends', async () => {
  await makeUsers(100);
  await caughtUp();
  await replica`delete from users`;
  const report = tableOf(await compare(['users'], { chunkRows: 10, most: 15 }), 'public.users');
  expect(report).toMatchObject({ state: 'different', isCut: true, rows: 20 });
  expect(report.differences).toHaveLength(15);
});
