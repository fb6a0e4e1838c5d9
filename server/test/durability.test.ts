import type postgres from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ChangesDocument, type ChangesSubscription } from '../../schema/generated/operations.ts';
import { startEmbeddedServers } from '../../infra/cluster/embedded.ts';
import { logState } from '../database/sql/change-log.ts';
import { connect } from '../database/connect.ts';
import { LogReading } from '../feed/source.ts';
import { parseLsn } from '../lib/lsn.ts';
import { startCluster, type OwnCluster } from './support/cluster.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine, faults, fixAll } from './support/doctor.ts';
import { holdApply, killServer, pauseWalWriter, restartWorker, slotOf } from './support/faults.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo, type Events } from './support/subscribe.ts';

let cluster: OwnCluster;
let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
let server: TestServer;

beforeAll(async () => {
  // A slow disk, and a worker that confirms at once: what is committed stays unflushed until somebody waits for it.
  cluster = await startCluster({ wal_writer_delay: '10s', wal_receiver_status_interval: '1s' });
});
afterAll(() => cluster.stop());

beforeEach(async () => {
  databases = await freshDatabases({ replicas: 2, cluster });
  ({
    primary,
    replicas: [replica],
  } = databases as TestDatabases & { replicas: [postgres.Sql] });
});
afterEach(async () => {
  await server?.stop();
  await databases.drop();
});

/** With the first replica alone. */
const startWithOne = async () => {
  const config = { ...databases.config, replicas: databases.config.replicas.slice(0, 1) };
  server = await startServer({ MONITOR_INTERVAL_MS: 100, BOOKMARK_WAIT_MS: 200 }, { ...databases, config });
};

const setCommit = (value: 'off' | 'local') =>
  replica.unsafe(`alter subscription readback set (synchronous_commit = ${value})`);

const insert = async (name: string) => {
  const [row] = await primary<{ id: string }[]>`
    insert into users (username, email, password_hash) values (${name}, ${name} || '@example.com', '-') returning id`;
  return row!.id;
};

const WITHIN = { timeout: 20_000, interval: 20 };
const isThere = (sql: postgres.Sql, id: string) =>
  expect.poll(async () => (await sql`select from users where id = ${id}`).length, WITHIN).toBe(1);
const names = async (sql: postgres.Sql) =>
  (await sql`select username from users order by username`).map((row) => row['username']);
const health = async () => (await server.rest('GET', '/health')).body;
const stateIs = (state: string) => expect.poll(async () => (await health()).replicas[0].state, WITHIN).toBe(state);

/** Committed here, and confirmed to the primary by a worker that knows nothing of its predecessor's commits. */
async function confirmUnflushed(id: string): Promise<void> {
  await isThere(replica, id);
  const [{ lsn }] = (await primary`select pg_current_wal_flush_lsn()::text as lsn`) as [{ lsn: string }];
  await restartWorker(replica);
  const slot = await slotOf(replica);
  const confirmed = async () =>
    (
      await primary`select confirmed_flush_lsn >= ${lsn}::text::pg_lsn as is from pg_replication_slots where slot_name = ${slot}`
    )[0]!['is'];
  await expect.poll(confirmed, WITHIN).toBe(true);
}

async function crash(name: string): Promise<void> {
  await killServer(cluster, name);
  await cluster.control.startServer(name);
}

/** Its connections broke with the crash: the driver opens others. */
const answers = (sql: postgres.Sql) =>
  expect
    .poll(
      () =>
        sql`select 1`.then(
          () => true,
          () => false,
        ),
      WITHIN,
    )
    .toBe(true);

/** A transaction is applied, the worker restarted, the replica killed; then another transaction arrives. */
async function loseOrKeep(): Promise<{ before: string; after: string }> {
  await pauseWalWriter(replica);
  const before = await insert('before');
  await confirmUnflushed(before);
  await crash('replica-1');
  await answers(replica);
  const after = await insert('after');
  await isThere(replica, after);
  return { before, after };
}

test('GUARANTEE a replica never confirms what it may lose: worker restarted, then the replica killed', async () => {
  await startWithOne();
  await stateIs('STREAMING');
  const { before } = await loseOrKeep();
  expect(await names(replica)).toEqual(await names(primary));
  await stateIs('STREAMING');
  const { data, readback } = await server.query<any, object>('query ($id: ID!) { user(id: $id) { username } }', {
    id: before,
  });
  expect([data.user.username, readback.source]).toEqual(['before', 'replica-1']);
});

test('worker killed, primary stopped fast, replica killed: nothing is lost', async () => {
  await startWithOne();
  await pauseWalWriter(replica);
  const before = await insert('before');
  await isThere(replica, before);
  await restartWorker(replica);
  await cluster.control.stopServer('primary');
  await killServer(cluster, 'replica-1');
  await cluster.control.startServer('primary');
  await cluster.control.startServer('replica-1');
  await answers(primary);
  await answers(replica);
  await isThere(replica, await insert('after'));
  expect(await names(replica)).toEqual(await names(primary));
});

test('with synchronous_commit off a crash loses a transaction: the replica is LOST, and copied again by --fix', async () => {
  await setCommit('off');
  await startWithOne();
  expect(await faults(databases.config)).toEqual(['replica-1 asynchronous-commit']);
  await stateIs('STREAMING');
  const { before } = await loseOrKeep();
  expect(await names(replica)).toEqual(['after']);

  await stateIs('LOST');
  const { data, readback } = await server.query<any, object>('query ($id: ID!) { user(id: $id) { username } }', {
    id: before,
  });
  expect([data.user.username, readback.source]).toEqual(['before', 'primary']);
  expect(await faults(databases.config)).toContain('replica-1 transactions-lost');
  await fixAll(databases.config);
  await stateIs('STREAMING');
  expect(await names(replica)).toEqual(await names(primary));
  expect(await faults(databases.config)).toEqual([]);
});

test('where off was chosen, it is no fault, and a new worker has its predecessor flushed', async () => {
  const config = { ...databases.config, replicas: databases.config.replicas.slice(0, 1) };
  const chosen = testConfig({ REPLICA_SYNCHRONOUS_COMMIT: 'off' });
  const said: string[] = [];
  await setUp(config, chosen, (line) => void said.push(line));
  expect(said.join()).toContain('REPLICA_SYNCHRONOUS_COMMIT is off');
  expect(await faults(config)).toEqual([]);
  server = await startServer({ MONITOR_INTERVAL_MS: 100, REPLICA_SYNCHRONOUS_COMMIT: 'off' }, { ...databases, config });
  await stateIs('STREAMING');
  await pauseWalWriter(replica);
  const before = await insert('before');
  await isThere(replica, before);
  const [{ written }] = (await replica`select pg_current_wal_insert_lsn()::text as written`) as [{ written: string }];
  await restartWorker(replica);
  const flushed = async () =>
    (await replica`select pg_current_wal_flush_lsn() >= ${written}::text::pg_lsn as is`)[0]!['is'];
  await expect.poll(flushed, WITHIN).toBe(true);
  await crash('replica-1');
  await answers(replica);
  expect(await names(replica)).toEqual(['before']);
});

test('a server that has just started knows what others saw on the replica', async () => {
  await setCommit('off');
  await startWithOne();
  await stateIs('STREAMING');
  await pauseWalWriter(replica);
  const before = await insert('before');
  await isThere(replica, before);
  const slot = await slotOf(replica);
  const [{ seen }] = (await replica`select readback.seen()::text as seen`) as [{ seen: string }];
  const noted = async () =>
    (
      await primary`select ${seen}::text::pg_lsn = any(positions) as is from readback.seen_positions where slot = ${slot}`
    )[0]?.['is'];
  await expect.poll(noted, WITHIN).toBe(true);
  await server.stop();
  await confirmUnflushed(before);
  await crash('replica-1');
  await answers(replica);
  await isThere(replica, await insert('after'));
  await startWithOne();
  await stateIs('LOST');
});

test('a crash that takes back what is sent again is no loss', async () => {
  await setCommit('off');
  await startWithOne();
  await stateIs('STREAMING');
  const resume = await pauseWalWriter(replica);
  // The worker that applies it confirms it only once it is flushed.
  const before = await insert('before');
  await isThere(replica, before);
  await expect.poll(async () => (await health()).replicas[0].position, WITHIN).toBeTruthy();
  resume();
  await crash('replica-1');
  await answers(replica);
  await isThere(replica, before);
  await stateIs('STREAMING');
  expect(await names(replica)).toEqual(await names(primary));
});

type Event = ChangesSubscription['changes'];
async function nextChange(events: Events<ChangesSubscription>): Promise<Extract<Event, { __typename: 'UserChange' }>> {
  for (;;) {
    const { changes } = await events.next();
    if (changes.__typename === 'UserChange') return changes;
  }
}

/** The second replica has applied all but the last transaction, and a keepalive says that it is past what was before. */
async function lateByOne(insertLast: () => Promise<unknown>): Promise<() => Promise<void>> {
  const [, second] = databases.replicas as [postgres.Sql, postgres.Sql];
  await primary`create table unpublished (id int)`;
  await isThere(second, await insert('first'));
  const release = await holdApply(second);
  await primary`insert into unpublished select generate_series(1, 1000)`;
  const [{ lsn }] = (await primary`select pg_current_wal_flush_lsn()::text as lsn`) as [{ lsn: string }];
  const keptAlive = async () =>
    (
      await second`select applied >= ${lsn}::text::pg_lsn and progress < ${lsn}::text::pg_lsn as is from readback.position()`
    )[0]!['is'];
  await expect.poll(keptAlive, WITHIN).toBe(true);
  await insertLast();
  return release;
}

test('a log that lags by the one transaction that a cursor names is waited for', async () => {
  const [first, second] = databases.replicas as [postgres.Sql, postgres.Sql];
  const release = await lateByOne(async () => isThere(first, await insert('late')));
  const reader = connect(databases.config.replicas[1]!.url, {
    max: 1,
    connectTimeoutMs: 5000,
    applicationName: 'test',
  });
  const [row] = await first`select after_lsn::text as lsn from readback.change_log order by after_lsn desc limit 1`;
  const reading = new LogReading(reader, await logState(reader), { lsn: parseLsn(row!['lsn']), place: 1 });
  expect(await reading.next(10)).toEqual([]);
  await release();
  const more = await insert('more');
  await isThere(second, more);
  expect((await reading.next(10)).map(({ key }) => key)).toEqual([more]);
  await reader.end();
});

test('one replica dies, the other is late by one transaction: 1000 subscribers resume, none is refused', async () => {
  const lines: string[] = [];
  // No round of the monitor: a heartbeat would lie between the two transactions.
  server = await startServer({ MONITOR_INTERVAL_MS: 60_000, LOG_LEVEL: 'error' }, databases, {
    write: (line) => void lines.push(line),
  });
  const events = subscribeTo(server.websocket(), ChangesDocument, {});
  const late = Promise.withResolvers<string>();
  const release = await lateByOne(async () => {
    const id = await insert('late');
    for (;;) {
      const { key, cursor } = await nextChange(events);
      if (key === id) return late.resolve(cursor);
    }
  });
  await events.end();
  await cluster.control.stopServer('replica-1');
  const source = async () => (await health()).feed.source;
  await expect.poll(source, WITHIN).toBe('replica-2');

  const after = await late.promise;
  const clients = Array.from({ length: 10 }, () => server.websocket());
  const resumed = Array.from({ length: 1000 }, (_, n) => subscribeTo(clients[n % 10]!, ChangesDocument, { after }));
  const nexts = resumed.map(nextChange);
  await expect.poll(() => server.subscribers(), WITHIN).toBe(1000);
  await release();
  const more = await insert('more');
  expect(new Set((await Promise.all(nexts)).map(({ key }) => key))).toEqual(new Set([more]));
  expect(lines.filter((line) => line.includes('CURSOR_EXPIRED'))).toEqual([]);
  for (const each of resumed) await each.end();
  await cluster.control.startServer('replica-1');
  await answers(replica);
});

test('commit timestamps that are switched off later are a fault of the feed, named', async () => {
  const own = await startCluster();
  const given = await freshDatabases({ cluster: own });
  server = await startServer({ MONITOR_INTERVAL_MS: 100 }, given);
  await expect.poll(async () => (await health()).status, WITHIN).toBe('healthy');
  await own.control.stop();
  const servers = Object.entries(own.servers).map(([name, { url }]) => ({ name, port: Number(new URL(url).port) }));
  const settings = { fsync: 'off', track_commit_timestamp: 'off' };
  const control = await startEmbeddedServers({ dir: own.dir, servers, say: () => {}, settings });
  await expect.poll(async () => (await health()).feed.reason, WITHIN).toMatch(/track_commit_timestamp is off/);
  await expect.poll(async () => (await health()).status, WITHIN).toBe('degraded');
  // Subscribers get no event without the time of its commit; they are told why none comes.
  const { data } = await server.query<{ replication: { feed: { phase: string } } }, object>(
    '{ replication { feed { phase } } }',
  );
  expect(data.replication.feed.phase).toBe('DEGRADED');
  expect((await examine(given.config)).map(({ check }) => check)).toContain('commit-timestamps');
  await server.stop();
  await given.drop();
  await control.stop();
  await own.stop();
});
