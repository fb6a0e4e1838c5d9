import { afterAll, beforeAll, expect, test } from 'vitest';
import { startServer, type TestServer } from './support/server.ts';

/** Documents that come again are compiled: what they answer must not depend on how often they came. */
let server: TestServer;
let id: string;

beforeAll(async () => {
  server = await startServer();
  const { primary } = server.databases;
  const [ada] =
    await primary`insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-') returning id`;
  id = ada!['id'];
  await primary`insert into posts (author_id, title, body) select ${id}, 'Note ' || n, '' from generate_series(1, 3) n`;
  await server.query('{ users { totalCount } }', {}, { 'readback-consistency': 'strong' });
});
afterAll(() => server.stop());

const NO_ID = '00000000-0000-4000-8000-000000000000';

test.for<[string, string, object?]>([
  ['a row', 'query ($id: ID!) { user(id: $id) { __typename id username createdAt } }', { id: 'ada' }],
  ['no row', 'query ($id: ID!) { user(id: $id) { id } }', { id: NO_ID }],
  ['an id that is none', 'query ($id: ID!) { user(id: $id) { id } }', { id: 'nonsense' }],
  ['a variable that is missing', 'query ($id: ID!) { user(id: $id) { id } }', {}],
  ['a variable of another type', 'query ($n: Int) { users(first: $n) { totalCount } }', { n: 'many' }],
  ['a default', 'query ($n: Int = 2) { posts(first: $n) { nodes { title } } }'],
  [
    'an enum that does not exist',
    'query ($o: UserOrder) { users(orderBy: $o) { totalCount } }',
    { o: { field: 'AGE', direction: 'ASC' } },
  ],
  ['levels', '{ users { nodes { username posts(first: 2) { totalCount nodes { title author { username } } } } } }'],
  ['errors beside data', `{ a: user(id: "nonsense") { id } users { totalCount } b: posts(first: 101) { totalCount } }`],
  [
    'directives',
    'query ($with: Boolean!) { users { totalCount @include(if: $with) nodes { id @skip(if: $with) username } } }',
    { with: true },
  ],
  [
    'fragments',
    'query { users { nodes { ...Names ... on User { username } } } } fragment Names on User { username firstName }',
  ],
  ['one operation of two', 'query A { users { totalCount } } query B { posts { totalCount } }'],
  [
    'a mutation that is refused',
    'mutation ($i: CreateUserInput!) { createUser(input: $i) { user { id } } }',
    { i: { username: 'x', email: 'no', password: '1' } },
  ],
  [
    'a mutation without its input',
    'mutation ($i: CreateUserInput!) { createUser(input: $i) { user { id } } }',
    { i: { username: 'xyz' } },
  ],
])('%s: the same answer each time', async ([, document, variables = {}]) => {
  const given = Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [name, value === 'ada' ? id : value]),
  );
  const answers = [];
  for (let time = 0; time < 6; time++) {
    const { data, errors } = await server.query(document, given);
    answers.push({ data, errors });
  }
  for (const answer of answers) expect(answer).toEqual(answers[0]);
});

test('what goes wrong is not run again to find out what to say of it', async () => {
  await server.databases
    .primary`insert into users (username, email, password_hash) values ('bob', 'bob@example.com', '-')`;
  const document = 'mutation ($id: ID!) { updateUser(id: $id, input: { username: "bob" }) { user { id } } }';
  const statements = server.databases.statements('primary', /readback writes/);
  for (let time = 0; time < 6; time++) expect(await server.failure(document, { id })).toBe('CONFLICT username');
  expect(statements().filter((text) => /update/i.test(text))).toHaveLength(6);
});
