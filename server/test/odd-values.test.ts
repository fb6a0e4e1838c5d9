import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  ChangesDocument,
  PostDocument,
  UpdatePostDocument,
  UserListDocument,
  UsersDocument,
  type ChangesSubscription,
} from '../../schema/generated/operations.ts';
import { isMoment } from '../declare/rules.ts';
import { ID, Int } from 'type-graphql';
import { columnName, connect, type Sql } from '../database/connect.ts';
import { Table } from '../database/sql/table.ts';
import type { Declaration } from '../declare/declaration.ts';
import { DateTime, Double } from '../declare/scalars.ts';
import { kindOf } from '../declare/kinds.ts';
import { rowOf } from '../declare/images.ts';
import { listing } from '../reads/rows.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

let databases: TestDatabases;
let server: TestServer;
let sql: Sql;
let author: string;
let post: string;

beforeAll(async () => {
  databases = await freshDatabases({ settle: false });
  const [replica] = databases.replicas as [TestDatabases['primary']];
  // Whose offsets had seconds long ago: the log is written in UTC all the same.
  await replica.unsafe(`alter database ${databases.name} set timezone = 'Europe/Amsterdam'`);
  await setUp(databases.config, testConfig(), () => {});
  sql = connect(databases.config.primary.adminUrl, { max: 1, connectTimeoutMs: 10_000, applicationName: 'test' });
  [{ author, post }] = (await databases.primary`
    with author as (insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-') returning id)
    insert into posts (author_id, title, body) select id, 'Notes', '' from author returning author_id as author, id as post`) as unknown as [
    { author: string; post: string },
  ];
  const isThere = async () => (await replica`select from posts where id = ${post}`).length === 1;
  await vi.waitUntil(isThere, { timeout: 10_000, interval: 20 });
  // After it, so that its feed begins there.
  server = await startServer({ MONITOR_INTERVAL_MS: 100, FEED_WINDOW_CHANGES: 1 }, databases);
});
afterAll(async () => {
  await server.stop();
  await sql.end();
  await databases.drop();
});

const ODD = [
  'infinity',
  '-infinity',
  '4714-11-24 00:00:00+00 BC',
  '0044-03-15 00:00:00+00 BC',
  '0001-12-31 23:59:59.999999+00 BC',
  '0001-01-01T00:00:00Z',
  '1880-05-01T12:00:00.5Z',
  '9999-12-31T23:59:59.999999Z',
  '10000-01-01 00:00:00+00',
  '294276-12-31 23:59:59.999999+00',
];

const changes = (variables: object = {}) =>
  subscribeTo(server.websocket(), ChangesDocument, { tables: ['posts'], ...variables });

async function next<Name extends ChangesSubscription['changes']['__typename']>(
  events: ReturnType<typeof changes>,
  name: Name,
) {
  for (;;) {
    const { changes: event } = await events.next();
    if (event.__typename === name) return event as Extract<typeof event, { __typename: Name }>;
  }
}

test('infinity, BC and years past 9999 are the same text in queries, mutations, events, resumed ones and snapshots', async () => {
  const events = changes();
  const start = await next(events, 'CaughtUp');
  const cursors = [start.cursor];
  for (const value of ODD) {
    await databases.primary`update posts set published_at = ${value}::text::timestamptz where id = ${post}`;
    const { post: now, cursor } = await next(events, 'PostChange');
    expect(now?.publishedAt).toBe(value);
    cursors.push(cursor);
    for (const consistency of ['eventual', 'strong']) {
      const { data } = await server.query(PostDocument, { id: post }, { 'readback-consistency': consistency });
      expect(data.post?.publishedAt).toBe(value);
    }
    const { data } = await server.query(UpdatePostDocument, { id: post, input: { title: value } });
    expect(data.updatePost.post.publishedAt).toBe(value);
    expect((await next(events, 'PostChange')).postBefore?.publishedAt).toBe(value);
    const copy = changes({ snapshot: true });
    expect((await next(copy, 'SnapshotRow')).post?.publishedAt).toBe(value);
    await copy.end();
  }
  await events.end();
  const again = changes({ after: start.cursor });
  for (const value of ODD) {
    expect((await next(again, 'PostChange')).post?.publishedAt).toBe(value);
    expect((await next(again, 'PostChange')).post?.publishedAt).toBe(value);
  }
  await again.end();
  const [zones] = await databases.replicas[0]!`
    select count(*)::int from readback.change_log where after ->> 'published_at' ~ '[+-]\\d\\d:\\d\\d:\\d\\d'`;
  expect(zones!['count']).toBe(0);
});

test('a replica whose clock is 45 s slow applies nothing before it is committed: lagMs is 0', async () => {
  const events = changes();
  await next(events, 'CaughtUp');
  await databases.replicas[0]!.unsafe(
    `alter table readback.change_log alter applied_at set default clock_timestamp() - interval '45 s'`,
  );
  await databases.primary`update posts set body = 'late' where id = ${post}`;
  const change = await next(events, 'PostChange');
  expect(Date.parse(change.appliedAt)).toBeLessThan(Date.parse(change.committedAt) - 40_000);
  expect(change.lagMs).toBe(0);
  await events.end();
});

describe('where pages are ordered by odd moments', () => {
  const names = (nodes: readonly { username: string }[]) => nodes.map(({ username }) => username);
  const inOrder = ODD.toSpliced(0, 1)
    .concat('infinity')
    .map((_, index) => `moment-${index}`);

  beforeAll(async () => {
    // The oldest first: -infinity, then BC, and infinity last.
    const values = [...ODD.slice(1), 'infinity'];
    for (const [index, value] of values.entries())
      await databases.primary`
        insert into users (username, email, password_hash, created_at)
        values (${inOrder[index]!}, ${`${index}@example.com`}, '-', ${value}::text::timestamptz)`;
    await databases.primary`delete from posts`;
    await databases.primary`delete from users where id = ${author}`;
  });

  for (const direction of ['ASC', 'DESC'] as const) {
    test(`${direction}: every row is met once, from both ends, on replica and primary`, async () => {
      const expected = direction === 'ASC' ? inOrder : inOrder.toReversed();
      for (const consistency of ['session', 'strong']) {
        const page = async (variables: object) => {
          const orderBy = { field: 'CREATED_AT', direction } as const;
          const { data, errors } = await server.query(
            UsersDocument,
            { ...variables, orderBy },
            { 'readback-consistency': consistency },
          );
          expect(errors).toEqual([]);
          return data.users;
        };
        await expect.poll(async () => (await page({ first: 1 })).totalCount).toBe(inOrder.length);
        const forward: string[] = [];
        for (let after: string | null = null, more = true; more;) {
          const { nodes, pageInfo }: Awaited<ReturnType<typeof page>> = await page({ first: 1, after });
          forward.push(...names(nodes));
          [after, more] = [pageInfo.endCursor ?? null, pageInfo.hasNextPage];
        }
        expect(forward).toEqual(expected);
        const backward: string[] = [];
        for (let before: string | null = null, more = true; more;) {
          const { nodes, pageInfo }: Awaited<ReturnType<typeof page>> = await page({ last: 2, before });
          backward.unshift(...names(nodes));
          [before, more] = [pageInfo.startCursor ?? null, pageInfo.hasPreviousPage];
        }
        expect(backward).toEqual(expected);
      }
    });
  }

  test('REST has the same text', async () => {
    const { data } = await server.query(UserListDocument, { first: 100, after: null });
    for (const { id, createdAt } of data.users.nodes)
      expect((await server.rest('GET', `/api/users/${id}`)).body.data.created_at).toBe(createdAt);
    expect(data.users.nodes.map(({ createdAt }) => createdAt).toSorted()).toEqual(ODD.toSorted());
  });

  test('a forged cursor with a moment that PostgreSQL does not have is the client’s fault', async () => {
    const forged = (value: string) =>
      Buffer.from(JSON.stringify(['CREATED_AT', 'DESC', value, crypto.randomUUID()])).toString('base64url');
    for (const value of ['294277-01-01 00:00:00+00', '4714-11-23 00:00:00+00 BC', 'Infinity', 'now', 'allballs'])
      expect(await server.failure(UsersDocument, { after: forged(value) })).toBe('BAD_CURSOR after');
  });
});

test('moments that are taken as input are those that PostgreSQL has, in the form in which it is answered', async () => {
  const others = [
    '2026-01-31T12:00:00Z',
    '2026-02-30T00:00:00Z',
    '2028-02-29T00:00:00.123456Z',
    '2026-01-31T24:00:00Z',
    '2026-01-31 12:00:00+00',
    '2026-01-31T12:00:00+00:00',
    '0000-01-01T00:00:00Z',
    '0000-01-01 00:00:00+00 BC',
    '0001-02-29 00:00:00+00 BC',
    '0002-02-29 00:00:00+00 BC',
    '0005-02-29 00:00:00.5+00 BC',
    '4713-01-01 00:00:00+00 BC',
    '4714-11-23 23:59:59+00 BC',
    '4715-12-31 00:00:00+00 BC',
    '9999-01-01 00:00:00+00',
    '09999-01-01 00:00:00+00',
    '010000-01-01 00:00:00+00',
    '10000-02-29 00:00:00+00',
    '10001-02-29 00:00:00+00',
    '10000-01-01T00:00:00Z',
    '10000-01-01 00:00:00+00 BC',
    '294277-01-01 00:00:00+00',
    '1000000-01-01 00:00:00+00',
    'Infinity',
    '+infinity',
    'epoch',
    '',
  ];
  for (const text of [...ODD, ...others]) {
    const found = await sql<{ moment: string }[]>`select ${text}::text::timestamptz as moment`.catch(() => []);
    expect([text, isMoment(text)]).toEqual([text, found[0]?.moment === text]);
  }
});

test('filters by numbers that JSON has no form for are told from each other, and find their rows', async () => {
  await sql`create table gauges (id uuid primary key default gen_random_uuid(), weight double precision)`;
  const columns = [
    { field: 'id', name: 'id', type: () => ID, form: kindOf(ID) },
    { field: 'weight', name: 'weight', type: () => Double, form: kindOf(Double) },
  ];
  const declaration = {
    name: 'gauges',
    one: 'gauge',
    columns,
    key: columns.slice(0, 1),
    orderBy: [],
  } as unknown as Declaration;
  const { counts } = listing(new Table<{ id: string }>(declaration));
  const weights = [NaN, Infinity, Infinity, -Infinity, -Infinity, -Infinity, 0.1];
  try {
    await sql`insert into gauges (weight) select unnest(${weights.map(String)}::text[]::double precision[])`;
    const asked = [NaN, Infinity, -Infinity, 0.1, 1];
    const keys = asked.map((weight) => counts.keyOf({ scope: { equal: { weight } } }));
    const { rows } = await counts.batcherOn(sql).load(keys);
    expect(rows).toEqual([1, 2, 3, 1, 0]);
  } finally {
    await sql`drop table gauges`;
  }
});

test('an image has the values that its row has, so that a rule says the same of both', async () => {
  await sql`create table readings (id uuid primary key default gen_random_uuid(), big bigint, title text, level int,
    is_open boolean, weight double precision, due_at timestamptz)`;
  const types = { id: ID, big: String, title: String, level: Int, isOpen: Boolean, weight: Double, dueAt: DateTime };
  const columns = Object.entries(types).map(([field, type]) => ({
    field,
    name: columnName(field),
    type: () => type,
    form: kindOf(type),
  }));
  const declaration = {
    name: 'readings',
    one: 'reading',
    columns,
    key: columns.slice(0, 1),
    orderBy: [],
  } as unknown as Declaration;
  const table = new Table<{ id: string }>(declaration);
  try {
    await sql`insert into readings (big, title, level, is_open, weight, due_at) values
      (9007199254740991, '5', -5, true, 'NaN', 'infinity'), (-1, 'NaN', 0, false, '-Infinity', '2026-01-31T12:00:00.500+02'),
      (0, 'infinity', 1, null, 0.1, '0044-03-15 BC'), (null, null, null, null, null, null)`;
    const found = await sql<object[]>`select ${table.columns(sql)} from readings t order by id`;
    const images = await sql<{ image: Record<string, unknown> }[]>`
      select to_jsonb(t) as image from readings t order by id`;
    expect(images.map(({ image }) => rowOf(declaration, image))).toEqual([...found]);
  } finally {
    await sql`drop table readings`;
  }
});
