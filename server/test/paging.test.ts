import { afterAll, beforeAll, expect, test } from 'vitest';
import { UsersDocument, type UserOrder } from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
let bookmark: string;
const COUNT = 47;

beforeAll(async () => {
  server = await startServer();
  // Many share a timestamp: the id must break the ties.
  await server.databases.primary`
    insert into users (username, email, password_hash, first_name, is_active, created_at)
    select 'user-' || lpad(n::text, 2, '0'), n || '@example.com', '-', case when n % 2 = 0 then 'Even' else 'ODD' end, n % 3 <> 0,
           timestamptz '2026-01-01' + (n / 10) * interval '1 microsecond' from generate_series(1, ${COUNT}) n`;
  ({
    readback: { bookmark },
  } = await server.query('{ users(first: 1) { totalCount } }', {}, { 'readback-consistency': 'strong' }));
});
afterAll(() => server.stop());

const page = async (variables: object) =>
  (await server.query(UsersDocument, variables, { 'readback-bookmark': bookmark })).data.users;

const orders: UserOrder[] = [
  { field: 'CREATED_AT', direction: 'ASC' },
  { field: 'CREATED_AT', direction: 'DESC' },
  { field: 'USERNAME', direction: 'ASC' },
  { field: 'USERNAME', direction: 'DESC' },
];

for (const orderBy of orders) {
  test(`forward and backward pages by ${orderBy.field} ${orderBy.direction} meet every row once, in one order`, async () => {
    const forward: string[] = [];
    for (let after: string | null = null, more = true; more;) {
      const { nodes, pageInfo, totalCount }: Awaited<ReturnType<typeof page>> = await page({
        first: 10,
        after,
        orderBy,
      });
      expect(totalCount).toBe(COUNT);
      expect(pageInfo.hasPreviousPage).toBe(after !== null);
      forward.push(...nodes.map(({ username }) => username));
      ({ endCursor: after, hasNextPage: more } = {
        endCursor: pageInfo.endCursor ?? null,
        hasNextPage: pageInfo.hasNextPage,
      });
    }
    const backward: string[] = [];
    for (let before: string | null = null, more = true; more;) {
      const { nodes, pageInfo }: Awaited<ReturnType<typeof page>> = await page({ last: 10, before, orderBy });
      backward.unshift(...nodes.map(({ username }) => username));
      ({ before, more } = { before: pageInfo.startCursor ?? null, more: pageInfo.hasPreviousPage });
    }
    expect(new Set(forward).size).toBe(COUNT);
    expect(backward).toEqual(forward);
    if (orderBy.field === 'USERNAME')
      expect(forward).toEqual(orderBy.direction === 'ASC' ? forward.toSorted() : forward.toSorted().reverse());
  });
}

test('a page defaults to the 20 newest', async () => {
  const { nodes, pageInfo } = await page({});
  expect(nodes).toHaveLength(20);
  expect(nodes.map(({ createdAt }) => createdAt)).toEqual(
    nodes
      .map(({ createdAt }) => createdAt)
      .toSorted()
      .reverse(),
  );
  expect(pageInfo.hasNextPage).toBe(true);
});

test('an empty page is one', async () => {
  expect(await page({ first: 0 })).toMatchObject({
    nodes: [],
    totalCount: COUNT,
    pageInfo: { hasNextPage: true, startCursor: null },
  });
});

test('search is by prefix, upper or lower case alike, and joins with isActive', async () => {
  expect((await page({ filter: { search: 'odd' } })).totalCount).toBe(24);
  expect((await page({ filter: { search: 'USER-0' } })).totalCount).toBe(9);
  expect((await page({ filter: { search: 'user-0', isActive: false } })).totalCount).toBe(3);
  expect((await page({ filter: { search: 'ser-' } })).totalCount).toBe(0);
  expect((await page({ filter: { search: '_ser' } })).totalCount).toBe(0);
});
