import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { ChangesDocument, ReplicationDocument, type ChangesSubscription } from '../../schema/generated/operations.ts';
import { encodeCursor } from '../feed/cursor.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { holdLog, pruneNext, waits } from './support/faults.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo, type Events } from './support/subscribe.ts';

let databases: TestDatabases;
let server: TestServer;

beforeAll(async () => {
  databases = await freshDatabases({ replicas: 2 });
  server = await startServer(
    { MONITOR_INTERVAL_MS: 100, WS_BUFFER_BYTES: 100_000, WS_SLOW_CLIENT_TIMEOUT_MS: 1000, FEED_WINDOW_CHANGES: 200 },
    databases,
  );
});
afterAll(async () => {
  await server.stop();
  await databases.drop();
});

type Event = ChangesSubscription['changes'];

/** The next event that is of one of these types. */
async function next<Name extends Event['__typename']>(events: Events<ChangesSubscription>, ...names: Name[]) {
  for (;;) {
    const { changes } = await events.next();
    if ((names as string[]).includes(changes.__typename)) return changes as Extract<Event, { __typename: Name }>;
    if (changes.__typename !== 'CaughtUp') throw new Error(`unexpected ${JSON.stringify(changes)}`);
  }
}

let serial = 0;
const insert = (count: number) => databases.primary<{ id: string }[]>`
  insert into users (username, email, password_hash)
  select 'f' || n, 'f' || n || '@example.com', '-' from generate_series(${serial + 1}::int, ${(serial += count)}::int) n returning id`;

const changes = (variables: object = {}) => subscribeTo(server.websocket(), ChangesDocument, variables);

test('CaughtUp says that the subscription is ready; what happens then arrives, with cursors that replay it', async () => {
  const events = changes();
  const ready = await next(events, 'CaughtUp');
  const rows = await insert(3);
  const seen = [await next(events, 'UserChange'), await next(events, 'UserChange'), await next(events, 'UserChange')];
  expect(seen.map(({ key }) => key)).toEqual(rows.map(({ id }) => id));
  await events.end();

  const again = changes({ after: ready.cursor });
  for (const change of seen) expect(await next(again, 'UserChange')).toEqual(change);
  const caughtUp = await next(again, 'CaughtUp');
  await again.end();
  const rest = changes({ after: seen[1]!.cursor });
  expect(await next(rest, 'UserChange')).toEqual(seen[2]);
  await rest.end();
  const latest = changes({ latest: 2 });
  expect(await next(latest, 'UserChange')).toEqual(seen[1]);
  expect(await next(latest, 'UserChange')).toEqual(seen[2]);
  expect((await latest.next()).changes.__typename).toBe('CaughtUp');
  await latest.end();
  const behind = changes({ after: caughtUp.cursor });
  const [row] = await insert(1);
  expect(await next(behind, 'UserChange')).toMatchObject({ key: row!.id });
  await behind.end();
});

test('snapshot: every row, then all that came after it, with no gap and no doubling, while writers are at work', async () => {
  await insert(3000);
  let writing = true;
  const writers = Array.from({ length: 3 }, async (_, writer) => {
    for (let n = 0; writing; n++) {
      await databases.primary`update users set first_name = ${`${writer}-${n}`} where username = ${`f${writer * 100 + (n % 50) + 1}`}`;
      if (n % 5 === 0) await databases.primary`delete from users where username = ${`f${1000 * (writer + 1) - n}`}`;
      if (n % 7 === 0) await insert(1);
    }
  });
  const copy = new Map<string, unknown>();
  const events = changes({ tables: ['users'], snapshot: true });
  for (;;) {
    const event = await next(events, 'SnapshotRow', 'UserChange');
    if (event.__typename === 'SnapshotRow') {
      expect(copy.has(event.key)).toBe(false);
      copy.set(event.key, event.user);
    } else {
      // The before-image is what the copy has: nothing was missed, and nothing came twice.
      expect(event.before).toEqual(copy.get(event.key) ?? null);
      apply(copy, event);
      if (event.changedFields.includes('firstName') && writing && copy.size > 2000) writing = false;
    }
    if (!writing) break;
  }
  await Promise.all(writers);
  const [{ id: marker }] = (await insert(1)) as unknown as [{ id: string }];
  for (let event = await next(events, 'UserChange'); ; event = await next(events, 'UserChange')) {
    expect(event.before).toEqual(copy.get(event.key) ?? null);
    apply(copy, event);
    if (event.key === marker) break;
  }
  const rows = await databases.primary`select id, first_name from users order by id`;
  expect(rows.map(({ id }) => [id, (copy.get(id) as any)?.firstName])).toEqual(
    rows.map((row) => [row['id'], row['first_name']]),
  );
  expect(copy.size).toBe(rows.length);
  await events.end();
});

function apply(copy: Map<string, unknown>, { key, user }: { key: string; user: unknown }): void {
  if (user) copy.set(key, user);
  else copy.delete(key);
}

test('TRUNCATE on the primary arrives as a delete of each row', async () => {
  const events = changes({ tables: ['posts'] });
  await next(events, 'CaughtUp');
  const [author] = await insert(1);
  const posts = await databases.primary`
    insert into posts (author_id, title, body) select ${author!.id}, 't' || n, 'b' from generate_series(1, 3) n returning id`;
  for (const { id } of posts) expect(await next(events, 'PostChange')).toMatchObject({ operation: 'INSERT', key: id });
  await databases.primary`truncate posts`;
  const gone = [await next(events, 'PostChange'), await next(events, 'PostChange'), await next(events, 'PostChange')];
  // By key: a truncated table has no order.
  const keys = posts.map(({ id }) => id as string).toSorted((a, b) => (a < b ? -1 : 1));
  expect(gone.map(({ operation, key, post }) => [operation, key, post])).toEqual(
    keys.map((id) => ['DELETE', id, null]),
  );
  expect(gone[0]!.postBefore?.title).toMatch(/^t/);
  await events.end();
});

test('the latest changes go first: those of one transaction in part, and as many as there are', async () => {
  const watching = changes();
  await next(watching, 'CaughtUp');
  await insert(4);
  const all: Event[] = [];
  while (all.length < 4) all.push(await next(watching, 'UserChange'));
  await watching.end();
  const latest = changes({ latest: 3 });
  for (const change of all.slice(-3)) expect(await next(latest, 'UserChange')).toEqual(change);
  expect((await latest.next()).changes.__typename).toBe('CaughtUp');
  await latest.end();
  for (const wrong of [{ latest: 0 }, { latest: 1001 }, { latest: -1 }, { latest: 5, snapshot: true }]) {
    const [error] = await changes(wrong).failure();
    expect([wrong, error!.extensions]).toEqual([wrong, { code: 'BAD_USER_INPUT', field: 'latest' }]);
  }
  const resumed = changes({ latest: 3, after: all.at(-2)!.cursor });
  expect(await next(resumed, 'UserChange')).toEqual(all.at(-1));
  await resumed.end();
});

test('the latest changes begin at what is left where the log is pruned before they are read', async () => {
  const watching = changes();
  await next(watching, 'CaughtUp');
  // More than the window holds: what is in memory is served without the log.
  for (let n = 0; n < 6; n++) await insert(100);
  const all: Event[] = [];
  while (all.length < 600) all.push(await next(watching, 'UserChange'));
  await watching.end();
  // PostgreSQL grants locks in turn: to who looks for the place, to the pruner, to who reads from the place.
  const { source } = (await server.query(ReplicationDocument)).data.replication.feed;
  const replica = databases.replicas[source === 'replica-1' ? 0 : 1]!;
  const release = await holdLog(replica);
  const latest = changes({ latest: 500 });
  let pruned: Promise<unknown> | undefined;
  try {
    await waits(replica, 'with latest as');
    pruned = pruneNext(replica);
    await waits(replica, 'lock table');
  } finally {
    await release();
  }
  await pruned;
  for (const change of all.slice(-100)) expect(await next(latest, 'UserChange')).toEqual(change);
  expect((await latest.next()).changes.__typename).toBe('CaughtUp');
  await latest.end();
});

describe('a cursor that nobody can go on from is refused, with what to do', () => {
  const cases: [string, () => Promise<string>, string][] = [
    ['nonsense', async () => 'nonsense', 'BAD_CURSOR after'],
    [
      'of another cluster',
      async () => encodeCursor({ cluster: 1n, timeline: 1, logId: 1n, lsn: 1n, place: 1, isPartial: false }),
      'BAD_CURSOR after',
    ],
    ['beyond the end of the primary', forged, 'BAD_CURSOR after'],
    ['of a snapshot that broke off', partial, 'CURSOR_EXPIRED after'],
    ['older than what the log keeps', pruned, 'CURSOR_EXPIRED after'],
  ];
  for (const [name, make, expected] of cases) {
    test(name, async () => {
      const events = changes({ after: await make() });
      const [error] = await events.failure();
      expect(`${error!.extensions.code} ${error!.extensions.field}`).toBe(expected);
      expect(error!.message).toMatch(/snapshot: true/);
    });
  }

  async function partial(): Promise<string> {
    const events = changes({ tables: ['users'], snapshot: true });
    const { cursor } = await next(events, 'SnapshotRow');
    await events.end();
    return cursor;
  }

  /** Of this very primary and log, and of a position that nobody has written yet. */
  async function forged(): Promise<string> {
    const events = changes();
    const { cursor } = await next(events, 'CaughtUp');
    await events.end();
    const bytes = Buffer.from(cursor, 'base64url');
    bytes.writeBigUInt64BE(bytes.readBigUInt64BE(18) + 2n ** 40n, 18);
    return bytes.toString('base64url');
  }

  async function pruned(): Promise<string> {
    const events = changes();
    const { cursor } = await next(events, 'CaughtUp');
    // More than the window holds: what is in memory is served without the log.
    for (let n = 0; n < 6; n++) await insert(100);
    for (let n = 0; n < 600; n++) await next(events, 'UserChange');
    await events.end();
    for (const replica of databases.replicas) await replica`select readback.prune_log(0, 0, 100000)`;
    return cursor;
  }

  test('an unknown table', async () => {
    const [error] = await changes({ tables: ['accounts'] }).failure();
    expect(error).toMatchObject({
      message: expect.stringContaining('users, posts'),
      extensions: { code: 'BAD_USER_INPUT', field: 'tables' },
    });
  });
});

test('the change log keeps within its age and its size, whole transactions each, and its newest one', async () => {
  const [replica] = databases.replicas as [TestDatabases['primary']];
  for (let n = 0; n < 20; n++) await insert(100);
  const last = (await insert(1))[0]!.id;
  const size = async () => (await replica<[{ count: number }]>`select count(*)::int from readback.change_log`)[0].count;
  await expect.poll(async () => (await replica`select from readback.change_log where key = ${last}`).length).toBe(1);
  const before = await size();
  const [{ bytes }] = await replica<
    [{ bytes: number }]
  >`select avg(pg_column_size(c.*) + 40)::float as bytes from readback.change_log c`;
  await replica`select readback.prune_log(24, ${Math.ceil(bytes * 1000)}, 100000)`;
  expect(before).toBeGreaterThan(2000);
  expect(await size()).toBeLessThanOrEqual(1101);
  expect(await size()).toBeGreaterThanOrEqual(900);
  const groups =
    await replica`select count(*)::int from readback.change_log group by after_lsn having count(*) not in (100, 1, 5)`;
  expect(groups).toEqual([]);
  await replica`select readback.prune_log(0, 1000000000, 100000)`;
  expect(await size()).toBeLessThanOrEqual(2);
  expect(await replica`select from readback.change_log where key = ${last}`).toHaveLength(1);
});

test('subscribers of one operation share its execution, and the relations below it', async () => {
  const [author] = await insert(1);
  const document =
    'subscription ($after: Cursor) { postChanged(after: $after) { cursor post { title author { username } } } }';
  const before = server.groups();
  const all = Array.from({ length: 20 }, () => subscribeTo<any>(server.websocket(), document));
  await expect.poll(() => server.subscribers()).toBe(20);
  expect(server.groups()).toBe(before + 1);
  const onReplicas = ['replica-1', 'replica-2'].map((name) => databases.statements(name, /readback reads of/));
  await databases.primary`insert into posts (author_id, title, body) select ${author!.id}, 'shared', 'b' from generate_series(1, 10)`;
  for (const events of all) {
    for (let n = 0; n < 10; n++)
      expect((await events.next()).postChanged.post).toMatchObject({
        title: 'shared',
        author: { username: `f${serial}` },
      });
  }
  expect(onReplicas.flatMap((read) => read()).length).toBeLessThanOrEqual(2);
  for (const events of all) await events.end();
  await expect.poll(() => server.groups()).toBe(before);
});

test('a log that cannot be trusted is not read: the feed goes on from the other replica, and is told', async () => {
  const events = changes();
  await next(events, 'CaughtUp');
  const source = async () => (await server.query(ReplicationDocument)).data.replication.feed;
  const first = (await source()).source!;
  const faulty = databases.replicas[first === 'replica-1' ? 0 : 1]!;
  await faulty`alter table posts disable trigger readback_change`;
  await expect
    .poll(source, { timeout: 20_000 })
    .toEqual({ phase: 'LIVE', source: first === 'replica-1' ? 'replica-2' : 'replica-1' });
  const [row] = await insert(1);
  expect(await next(events, 'UserChange')).toMatchObject({ key: row!.id });
  await faulty`alter table posts enable always trigger readback_change`;
  await events.end();
}, 40_000);

test('a slow client is closed with a code of its own, slows nobody, and misses nothing when it comes back', async () => {
  const slow = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const query = `subscription ($after: Cursor) { changes(tables: ["posts"], after: $after) { ... on CaughtUp { cursor } ... on PostChange { cursor post { body } } } }`;
  let [after, titles] = ['', 0];
  const got = Promise.withResolvers<void>();
  slow.on('open', () => slow.send('{"type":"connection_init"}'));
  slow.on('message', (data) => {
    const message = JSON.parse((data as Buffer).toString());
    if (message.type === 'connection_ack')
      slow.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
    if (message.type !== 'next') return;
    const { cursor, post } = message.payload.data.changes;
    after = cursor;
    if (post) titles++;
    got.resolve();
  });
  await got.promise;
  slow.pause();
  const other = changes({ tables: ['posts'] });
  await next(other, 'CaughtUp');
  const closed = new Promise<number>((resolve) => slow.on('close', resolve));
  const [author] = await insert(1);
  const body = 'x'.repeat(20_000);
  const rounds = 40;
  for (let n = 0; n < rounds; n++) {
    await databases.primary`insert into posts (author_id, title, body) select ${author!.id}, 'slow', ${body} from generate_series(1, 20)`;
    for (let k = 0; k < 20; k++) await next(other, 'PostChange');
  }
  await expect.poll(() => server.slowClients(), { timeout: 10_000 }).toBe(1);
  slow.resume();
  expect(await closed).toBeOneOf([4411, 1006]);
  const rest = subscribeTo<any>(server.websocket(), query, { after });
  for (; titles < rounds * 20; titles++) expect((await rest.next()).changes.post.body).toBe(body);
  expect((await rest.next()).changes.post).toBeUndefined();
  await rest.end();
  await other.end();
}, 60_000);
