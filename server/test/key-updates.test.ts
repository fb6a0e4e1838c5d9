import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChangesDocument, UserChangedDocument, type ChangesSubscription } from '../../schema/generated/operations.ts';
import { connect, type Sql } from '../database/connect.ts';
import { LogReading } from '../feed/source.ts';
import type { FeedChange } from '../feed/recent.ts';
import type { Position } from '../lib/position.ts';
import { lastPosition, logState } from '../database/sql/change-log.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { person, startProtected } from './support/people.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo, type Events } from './support/subscribe.ts';

let databases: TestDatabases;
let server: TestServer;
const readers: Sql[] = [];

beforeAll(async () => {
  databases = await freshDatabases({ replicas: 2 });
  server = await startServer({ MONITOR_INTERVAL_MS: 100, FEED_WINDOW_CHANGES: 1 }, databases);
  for (const { adminUrl } of databases.config.replicas) {
    readers.push(connect(adminUrl, { max: 1, connectTimeoutMs: 10_000, applicationName: 'test' }));
  }
});
afterAll(async () => {
  await server.stop();
  await Promise.all(readers.map((sql) => sql.end()));
  await databases.drop();
});

type Event = Extract<ChangesSubscription['changes'], { __typename: 'UserChange' }>;

async function nextChange(events: Events<ChangesSubscription>): Promise<Event> {
  for (;;) {
    const { changes } = await events.next();
    if (changes.__typename === 'UserChange') return changes;
  }
}

const changes = (variables: object) =>
  subscribeTo(server.websocket(), ChangesDocument, { tables: ['users'], ...variables });
const caughtUp = async (events: Events<ChangesSubscription>) => {
  for (;;) if ((await events.next()).changes.__typename === 'CaughtUp') return;
};

const insert = async (...names: string[]) =>
  (
    await databases.primary<{ id: string }[]>`
      insert into users (username, email, password_hash)
      select name, name || '@example.com', '-' from unnest(${names}::text[]) as name returning id`
  ).map(({ id }) => id);

/** Everything that is written before is on both replicas. */
async function arrived(): Promise<void> {
  const [mark] = await insert(crypto.randomUUID());
  for (const replica of databases.replicas) {
    await expect.poll(async () => (await replica`select from readback.change_log where key = ${mark!}`).length).toBe(1);
  }
}

const told = ({ operation, key, before, user }: Event) => [operation, key, before?.id ?? null, user?.id ?? null];

test('an update of a key is a DELETE of the old one, then an INSERT of the new one; a cursor may lie between', async () => {
  const [old, other] = await insert('key-1', 'key-2');
  await arrived();
  const events = changes({});
  await caughtUp(events);
  const [renamed, moved] = [crypto.randomUUID(), crypto.randomUUID()];
  await databases.primary.begin(async (sql) => {
    await sql`update users set first_name = 'before' where id = ${other!}`;
    await sql`update users set id = ${renamed} where id = ${old!}`;
    await sql`update users set id = ${old!} where id = ${other!}`;
    await sql`update users set first_name = 'after' where id = ${old!}`;
    await sql`update users set id = ${moved} where id = ${old!}`;
  });
  const seen: Event[] = [];
  while (seen.length < 8) seen.push(await nextChange(events));
  await events.end();
  expect(seen.map(told)).toEqual([
    ['UPDATE', other, other, other],
    ['DELETE', old, old, null],
    ['INSERT', renamed, null, renamed],
    ['DELETE', other, other, null],
    ['INSERT', old, null, old],
    ['UPDATE', old, old, old],
    ['DELETE', old, old, null],
    ['INSERT', moved, null, moved],
  ]);
  expect(seen[1]!.changedFields).toContain('username');
  expect(seen[2]!.changedFields).toContain('username');
  // The window holds one change, and these fill it: what follows the cursors is read from a log.
  await arrived();
  await arrived();
  await arrived();
  for (const [index, { cursor }] of seen.entries()) {
    const rest = changes({ after: cursor });
    for (const { bookmark: _, ...expected } of seen.slice(index + 1))
      expect(await nextChange(rest)).toMatchObject(expected);
    await rest.end();
  }
});

/** All that follows a position, read in pieces of so many rows. */
async function readFrom(sql: Sql, position: Position, limit: number): Promise<FeedChange[]> {
  const reading = new LogReading(sql, await logState(sql), position);
  const read: FeedChange[] = [];
  for (;;) {
    const batch = await reading.next(limit);
    read.push(...batch);
    expect(reading.position).toEqual(read.at(-1)?.position ?? position);
    if (batch.length === 0) return read;
  }
}

const placed = ({ operation, key, position, before, after }: FeedChange) => ({
  operation,
  key,
  position,
  before: before?.['id'],
  after: after?.['id'],
});

test('a place names the same change on every replica, from wherever and however much is read at once', async () => {
  await arrived();
  const ends = await Promise.all(readers.map(lastPosition));
  expect(ends[1]).toEqual(ends[0]);
  const [start] = ends as [Position];
  await insert('place-1', 'place-2', 'place-3', 'place-4');
  await databases.primary`update users set id = gen_random_uuid() where username in ('place-1', 'place-3')`;
  await databases.primary.begin(async (sql) => {
    await sql`update users set first_name = 'x' where username = 'place-2'`;
    await sql`update users set id = gen_random_uuid() where username like 'place-%'`;
    await sql`delete from users where username = 'place-4'`;
    await sql`update users set id = gen_random_uuid() where username = 'place-1'`;
  });
  const last = async (sql: Sql) => (await readFrom(sql, start, 500)).at(-1);
  for (const sql of readers) await expect.poll(async () => (await last(sql))?.position.place).toBe(12);
  const whole = (await readFrom(readers[0]!, start, 500)).map(placed);
  expect(whole.map(({ position }) => position.place)).toEqual([
    1,
    2,
    3,
    4,
    1,
    2,
    3,
    4,
    ...Array(12)
      .keys()
      .map((n) => n + 1),
  ]);
  for (const sql of readers) {
    expect(await lastPosition(sql)).toEqual(whole.at(-1)!.position);
    for (const limit of [1, 2, 3, 500]) {
      expect((await readFrom(sql, start, limit)).map(placed)).toEqual(whole);
      for (const [index, { position }] of whole.entries())
        expect((await readFrom(sql, position, limit)).map(placed)).toEqual(whole.slice(index + 1));
    }
  }
});

test('a subscription to one key sees it go and come, and operations are those that are told', async () => {
  const [old] = await insert('watched');
  await arrived();
  const fresh = crypto.randomUUID();
  await expect.poll(() => server.subscribers()).toBe(0);
  const open = async (variables: object) => {
    const events = subscribeTo(server.websocket(), UserChangedDocument, variables);
    const first = events.next();
    return async () => {
      const { userChanged } = await first;
      await events.end();
      return [userChanged.operation, userChanged.key];
    };
  };
  const of = [
    await open({ id: old }),
    await open({ id: fresh }),
    await open({ operations: ['DELETE'] }),
    await open({ operations: ['INSERT'] }),
  ];
  await expect.poll(() => server.subscribers()).toBe(4);
  await databases.primary`update users set id = ${fresh} where id = ${old!}`;
  expect(await Promise.all(of.map((take) => take()))).toEqual([
    ['DELETE', old],
    ['INSERT', fresh],
    ['DELETE', old],
    ['INSERT', fresh],
  ]);
});

test('whose id is changed is signed out at once, and others see the user go', async () => {
  const own = await startProtected({ MONITOR_INTERVAL_MS: 100 });
  try {
    const [user, admin] = [await person(own), await person(own, true)];
    const events = subscribeTo(own.websocket(admin.token), UserChangedDocument, { id: user.id });
    const shown = events.next();
    const theirs = subscribeTo(own.websocket(user.token), UserChangedDocument, { id: user.id });
    // It may be the first of the two to come.
    const gone = theirs.next().catch(() => undefined);
    await expect.poll(() => own.subscribers()).toBe(2);
    await own.databases.primary`update users set id = gen_random_uuid() where id = ${user.id}`;
    expect((await shown).userChanged).toMatchObject({ operation: 'DELETE', key: user.id, before: { id: user.id } });
    await gone;
    await expect.poll(() => own.subscribers()).toBe(1);
    const { errors } = await own.query('{ me { id } }', {}, user.headers);
    expect(errors[0]!.extensions.code).toBe('UNAUTHENTICATED');
    await events.end();
  } finally {
    await own.stop();
  }
});
