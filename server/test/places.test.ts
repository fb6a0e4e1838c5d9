import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { ChangesDocument, type ChangesSubscription } from '../../schema/generated/operations.ts';
import { connect } from '../database/connect.ts';
import { Feed } from '../feed/feed.ts';
import type { FeedSource } from '../feed/source.ts';
import { Snapshots } from '../feed/snapshots.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { startServer, type TestServer } from './support/server.ts';
import { sqlFolderWith } from './support/sql-folder.ts';
import { subscribeTo, type Events } from './support/subscribe.ts';

let databases: TestDatabases;
beforeAll(async () => {
  databases = await freshDatabases({ replicas: 2 });
});
afterAll(() => databases.drop());

/** A server of its own that knows this replica alone. */
async function serverOf(index: number): Promise<TestServer> {
  const config = { ...databases.config, replicas: [databases.config.replicas[index]!] };
  const server = await startServer({ MONITOR_INTERVAL_MS: 100 }, { ...databases, config });
  onTestFinished(() => server.stop());
  return server;
}

type Change = Extract<ChangesSubscription['changes'], { __typename: 'UserChange' }>;

const changes = (server: TestServer, variables: object = {}) =>
  subscribeTo(server.websocket(), ChangesDocument, { tables: ['users'], ...variables });

async function nextChange(events: Events<ChangesSubscription>): Promise<Change> {
  for (;;) {
    const { changes: event } = await events.next();
    if (event.__typename === 'UserChange') return event;
  }
}

/** Returns when both replicas have it. */
async function insert(name: string): Promise<void> {
  await databases.primary`insert into users (username, email, password_hash) values (${name}, ${`${name}@example.com`}, '-')`;
  for (const replica of databases.replicas)
    await expect.poll(() => replica`select from users where username = ${name}`).toHaveLength(1);
}

/** The cursor of the change that has inserted it. */
async function cursorOf(server: TestServer, name: string, after: string | null): Promise<string> {
  const events = changes(server, { after });
  for (;;) {
    const { user, cursor } = await nextChange(events);
    if (user?.username !== name) continue;
    await events.end();
    return cursor;
  }
}

async function cursorNow(server: TestServer): Promise<string> {
  const events = changes(server);
  const { changes: event } = await events.next();
  await events.end();
  return event.cursor;
}

/** Who was inserted after the cursor, up to `last`; or the code of the error. */
async function told(server: TestServer, after: string, last: string): Promise<string[] | string> {
  const events = changes(server, { after });
  try {
    const names = [];
    while (names.at(-1) !== last) names.push((await nextChange(events)).user!.username);
    await events.end();
    return names;
  } catch (errors) {
    return (errors as { extensions: { code: string } }[])[0]!.extensions.code;
  }
}

const silent = { error: () => {}, warn: () => {}, info: () => {} };

const FILES = {
  'primary/0100.do.names.sql': `
    create table names (name text, n int, primary key (name, n));
    insert into names select name, 1 from unnest(array['a', 'B', 'c', 'D', 'é', 'f', '-g', ' h']) name;
    alter publication readback add table names;`,
  'replica/0100.do.names.sql': `
    create table names (name text, n int, primary key (name, n));
    select readback.watch('names', 'name', 'n');`,
};

test('rows that TRUNCATE takes have the same places on every replica, whatever its collations are', async () => {
  await setUp(databases.config, testConfig(), () => {}, sqlFolderWith(FILES));
  const [one, other] = databases.replicas as [TestDatabases['primary'], TestDatabases['primary']];
  await one`alter table names alter name type text collate "C"`;
  await other`alter table names alter name type text collate "und-x-icu"`;
  await databases.primary`truncate names`;
  const told = (replica: TestDatabases['primary']) =>
    replica`select key from readback.change_log where table_name = 'names' and operation = 'DELETE' order by seq`;
  await expect.poll(() => told(other)).toHaveLength(8);
  await expect.poll(() => told(one)).toEqual(await told(other));
});

test('whoever was away for less than the log keeps goes on, however long ago their last change was', async () => {
  const first = await serverOf(0);
  const ready = await cursorNow(first);
  await insert('earliest');
  const earliest = await cursorOf(first, 'earliest', ready);
  await insert('early');
  const early = await cursorOf(first, 'early', ready);
  await first.stop();
  const [replica] = databases.replicas as [TestDatabases['primary']];
  await replica`update readback.change_log set applied_at = now() - interval '25 hours'`;
  await insert('late');
  const prune = async () => (await replica`select readback.prune_log(24, 1000000000, 1000) as pruned`)[0]!['pruned'];
  while ((await prune()) > 0);
  const again = await serverOf(0);
  expect(await told(again, early, 'late')).toEqual(['late']);
  expect([await told(again, earliest, 'late'), await told(again, ready, 'late')]).toEqual(
    Array(2).fill('CURSOR_EXPIRED'),
  );
});

/** As the feed sees it, well or away as the test says. */
function sourceOf(index: number): FeedSource & { is: ReturnType<FeedSource['fitness']> } {
  const { adminUrl } = databases.config.replicas[index]!;
  const sql = connect(adminUrl, { max: 2, connectTimeoutMs: 10_000, applicationName: 'test' });
  onTestFinished(() => sql.end());
  const source = {
    name: `replica-${index + 1}`,
    reader: sql,
    replay: sql,
    snapshots: new Snapshots(sql, 1000),
    is: 'away' as ReturnType<FeedSource['fitness']>,
    fitness: () => source.is,
    lagMs: () => 0,
    settled: () => null,
  };
  return source;
}

test('a feed whose position is refused by the only log that is left starts again from its end', async () => {
  const [one, other] = [sourceOf(0), sourceOf(1)];
  await insert('first of two');
  one.is = 'growing';
  const settled = () => undefined;
  const feed = new Feed({ sources: [one, other], windowChanges: 10, settled, log: silent, complain: () => {} });
  feed.start();
  onTestFinished(() => feed.stop());
  await expect.poll(() => feed.isLive).toBe(true);
  const replica = databases.replicas[1]!;
  await replica`delete from readback.change_log where after_lsn = (select max(after_lsn) from readback.change_log)`;
  await databases.primary`update readback.heartbeat set beat_at = clock_timestamp()`;
  [one.is, other.is] = ['away', 'growing'];
  feed.rang();
  await expect
    .poll(() => feed.state)
    .toMatchObject({ phase: 'degraded', reason: expect.stringContaining('replica-2') });
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
  onTestFinished(() => void vi.useRealTimers());
  await expect.poll(() => feed.state).toEqual({ phase: 'live', source: 'replica-2' });
});

/** Whoever copies into the table waits until the test has ended. */
async function holdCopy(replica: TestDatabases['primary'], table: string): Promise<void> {
  const holder = await replica.reserve();
  await holder`select pg_advisory_lock(1)`;
  await replica`create function hold() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock(1); return null; end'`;
  await replica`create trigger hold before insert on ${replica(table)} execute function hold()`;
  await replica`alter table ${replica(table)} enable always trigger hold`;
  onTestFinished(async () => {
    await holder`select pg_advisory_unlock(1)`;
    holder.release();
  });
}

test('while a table is copied, what one replica has named is refused by the other rather than taken for something else', async () => {
  const { primary, replicas } = databases;
  const [copying, copied] = replicas as [TestDatabases['primary'], TestDatabases['primary']];
  await primary`create table letters (id int primary key)`;
  await primary`grant select on letters to public`;
  await primary`alter publication readback add table letters`;
  for (const replica of replicas) {
    await replica`create table letters (id int primary key)`;
    await replica`select readback.watch('letters', 'id')`;
  }
  const [here, there] = [await serverOf(0), await serverOf(1)];
  const ready = [await cursorNow(here), await cursorNow(there)];
  await holdCopy(copying, 'letters');
  for (const replica of replicas) await replica`alter subscription readback refresh publication`;
  await expect.poll(() => copied`select from pg_subscription_rel where srsubstate <> 'r'`).toEqual([]);

  await insert('before');
  await primary`insert into letters values (1)`;
  await expect.poll(() => copied`select from letters`).toHaveLength(1);
  await insert('after');
  const named = [await cursorOf(here, 'after', ready[0]!), await cursorOf(there, 'after', ready[1]!)];
  await insert('last');
  const all = ['before', 'after', 'last'];
  expect([await told(here, ready[0]!, 'last'), await told(there, ready[1]!, 'last')]).toEqual([all, all]);
  expect([await told(here, named[0]!, 'last'), await told(there, named[1]!, 'last')]).toEqual([['last'], ['last']]);
  const crossed = [await told(here, named[1]!, 'last'), await told(there, named[0]!, 'last')];
  expect(crossed).toEqual(['CURSOR_EXPIRED', 'CURSOR_EXPIRED']);
});
