import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UsersWithPostsDocument } from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';

const USERS = 100;
const reads = /readback reads of replica-1/;

interface Row {
  id: string;
  authorId: string;
  createdAt: string;
}

let server: TestServer;
let bookmark: string;
/** Newest first, as pages are. */
let rows: Row[];

beforeAll(async () => {
  // The monitor looks rarely here, so that what is counted is what requests cost.
  server = await startServer({ MONITOR_INTERVAL_MS: 60_000 });
  const { primary } = server.databases;
  await primary`
    insert into users (username, email, password_hash, created_at)
    select 'u' || n, n || '@example.com', '-', timestamptz '2026-01-01' - n * interval '1 day' from generate_series(1, ${USERS}) n`;
  // The nth user has 20 posts, every tenth n % 7. Six posts share a timestamp: the id must break the ties.
  rows = await primary<Row[]>`
    insert into posts (author_id, title, body, created_at)
    select u.id, 'Post ' || p, '', timestamptz '2026-02-01' + (p / 6) * interval '1 microsecond'
    from users u cross join lateral (select substr(u.username, 2)::int) n(n)
    cross join lateral generate_series(1, case when n % 10 = 0 then n % 7 else 20 end) p
    returning id, author_id as "authorId", to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt"`;
  rows.sort((a, b) => compare(b, a));
  ({
    readback: { bookmark },
  } = await server.query('{ users { totalCount } }', {}, { 'readback-consistency': 'strong' }));
});
afterAll(() => server.stop());

/** All timestamps have the same form, so that text compares as time does. */
const keyOf = ({ createdAt, id }: Row) => `${createdAt} ${id}`;
const compare = (a: Row, b: Row) => (keyOf(a) < keyOf(b) ? -1 : Number(keyOf(a) > keyOf(b)));

interface Page {
  first?: number;
  last?: number;
  after?: string;
  before?: string;
}

const cursorOf = (row: Row) => {
  // PostgreSQL leaves out a fraction of zero, and its last zeros.
  const value = row.createdAt.replace(/\.?0*Z$/, 'Z');
  return Buffer.from(JSON.stringify(['CREATED_AT', 'DESC', value, row.id])).toString('base64url');
};

/** The answer by brute force: all rows, sorted, filtered and cut. */
function expected(authorId: string, { first, last }: Page, after?: Row, before?: Row) {
  const all = rows.filter((row) => row.authorId === authorId);
  const within = all.filter((row) => (!after || compare(row, after) < 0) && (!before || compare(row, before) > 0));
  const nodes = last === undefined ? within.slice(0, first ?? 20) : within.slice(Math.max(within.length - last, 0));
  const more = nodes.length < within.length;
  return {
    totalCount: all.length,
    ids: nodes.map(({ id }) => id),
    hasNextPage: last === undefined ? more : before !== undefined,
    hasPreviousPage: last === undefined ? after !== undefined : more,
  };
}

const usersWithPosts = async (page: Page, users = USERS) => {
  const variables = { users, ...page };
  const { data, errors } = await server.query(UsersWithPostsDocument, variables, { 'readback-bookmark': bookmark });
  expect(errors).toEqual([]);
  return data.users.nodes;
};

type PostsOfUser = Awaited<ReturnType<typeof usersWithPosts>>[number];

describe('pages under each parent are what brute force finds', () => {
  const sizes: Page[] = [
    {},
    { first: 1 },
    { first: 7 },
    { first: 0 },
    { first: 100 },
    { last: 1 },
    { last: 7 },
    { last: 100 },
  ];
  const bounds: ['after' | 'before', boolean][][] = [
    [],
    [['after', true]],
    [['before', true]],
    [
      ['after', true],
      ['before', true],
    ],
  ];
  for (const size of sizes)
    for (const ends of bounds)
      test(`${JSON.stringify(size)} ${ends.map(([end]) => end).join(' and ')}`, async () => {
        // Positions of anybody's posts, in the midst of ties.
        const after = ends.some(([end]) => end === 'after') ? rows[Math.floor(rows.length / 4)] : undefined;
        const before = ends.some(([end]) => end === 'before') ? rows[Math.floor((rows.length * 3) / 4)] : undefined;
        const page = { ...size, ...(after && { after: cursorOf(after) }), ...(before && { before: cursorOf(before) }) };
        const nodes = await usersWithPosts(page);
        expect(nodes).toHaveLength(USERS);
        for (const { id, posts } of nodes) {
          const { totalCount, pageInfo } = posts;
          const { hasNextPage, hasPreviousPage } = pageInfo;
          const ids = posts.nodes.map((post) => post.id);
          expect({ totalCount, ids, hasNextPage, hasPreviousPage }).toEqual(expected(id, page, after, before));
          expect(posts.nodes.every(({ author }) => author?.id === id)).toBe(true);
        }
      });
});

test("a walk from page to page under one parent meets all of its rows once, by the server's own cursors", async () => {
  const walk = async (forward: boolean) => {
    const met: string[] = [];
    for (let page: Page | undefined = forward ? { first: 3 } : { last: 3 }; page;) {
      const [{ posts }] = (await usersWithPosts(page, 1)) as [PostsOfUser];
      const { hasNextPage, hasPreviousPage, startCursor, endCursor } = posts.pageInfo;
      const ids = posts.nodes.map(({ id }) => id);
      if (forward) met.push(...ids);
      else met.unshift(...ids);
      page = forward
        ? hasNextPage
          ? { first: 3, after: endCursor! }
          : undefined
        : hasPreviousPage
          ? { last: 3, before: startCursor! }
          : undefined;
    }
    return met;
  };
  const [{ id }] = (await usersWithPosts({}, 1)) as [PostsOfUser];
  expect(await walk(true)).toEqual(rows.filter((row) => row.authorId === id).map((row) => row.id));
  expect(await walk(false)).toEqual(await walk(true));
});

const cost = async (document: string, variables: object = {}) => {
  const onReplica = server.databases.statements('replica-1', reads);
  const onPrimary = server.databases.statements('primary', /^readback (reads|writes)/);
  const { errors } = await server.query(document, variables, { 'readback-bookmark': bookmark });
  expect(errors).toEqual([]);
  expect(onPrimary()).toEqual([]);
  return onReplica().length;
};

describe('statements, over 100 users', () => {
  test('the posts of each are one', async () => {
    const ids = [...new Set(rows.map(({ authorId }) => authorId))];
    const fields = ids.map((id, index) => `u${index}: user(id: "${id}") { posts { nodes { id } } }`).join('\n');
    expect(await cost(`{ ${fields} }`)).toBe(1 + 1);
  });

  test('the number of posts of each is one', async () => {
    expect(await cost(`{ users(first: 100) { nodes { posts { totalCount } } } }`)).toBe(1 + 2);
  });

  test('two levels, 20 posts each and their authors, are three', async () => {
    expect(await cost('{ users(first: 100) { nodes { posts { nodes { author { username } } } } } }')).toBe(3);
  });

  test('pages of two shapes under each are one for each shape', async () => {
    expect(
      await cost(
        '{ users(first: 100) { nodes { a: posts(first: 2) { nodes { id } } b: posts(last: 2) { nodes { id } } } } }',
      ),
    ).toBe(1 + 2);
  });
});

test('requests at once share the statements, each with its own page', async () => {
  const ids = [...new Set(rows.map(({ authorId }) => authorId))].slice(0, 30);
  const ask = (id: string, index: number) =>
    server.query<{ user: { posts: { nodes: { id: string }[] } } }, object>(
      'query ($id: ID!, $first: Int) { user(id: $id) { posts(first: $first) { nodes { id } } } }',
      { id, first: index },
      { 'readback-bookmark': bookmark },
    );
  await Promise.all(ids.map(ask)); // opens the client's connections
  const onReplica = server.databases.statements('replica-1', reads);
  const answers = await Promise.all(ids.map(ask));
  for (const [index, { data }] of answers.entries())
    expect(data.user.posts.nodes.map(({ id }) => id)).toEqual(expected(ids[index]!, { first: index }).ids);
  expect(onReplica().length).toBeLessThanOrEqual(30);
});

test('deleting a user deletes the posts, each a change of its own, and what is selected below sees it', async () => {
  const [{ id }] = (await usersWithPosts({}, 1)) as [PostsOfUser];
  const theirs = rows.filter((row) => row.authorId === id).map((row) => row.id);
  const { data } = await server.query<
    { deleteUser: { bookmark: string; user: { posts: { totalCount: number; nodes: object[] } } } },
    object
  >(`mutation { deleteUser(id: "${id}") { bookmark user { posts { totalCount nodes { id } } } } }`);
  expect(data.deleteUser.user.posts).toEqual({ totalCount: 0, nodes: [] });
  const logged = async () => {
    const deleted = await server.databases.replicas[0]!`
      select key from readback.change_log where table_name = 'posts' and operation = 'DELETE'`;
    return deleted.map(({ key }) => key as string).toSorted();
  };
  await expect.poll(logged).toEqual(theirs.toSorted());
});
