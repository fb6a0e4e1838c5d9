import { isSpecifiedScalarType } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildGraphQLSchema } from '../graphql/schema/schema.ts';
import { startProtected, person, type Person } from './support/people.ts';
import type { TestServer } from './support/server.ts';

/** With INTROSPECTION=off no answer has a name of the schema that the client has not sent. */
let server: TestServer;
let one: Person;
beforeAll(async () => {
  server = await startProtected({ REQUESTS_PER_SECOND_MAX: 0, INTROSPECTION: 'off' });
  one = await person(server);
});
afterAll(() => server.stop());

/** But for those of introspection, which every schema has, and those that are words of the messages. */
const names = new Set(
  Object.values(buildGraphQLSchema().getTypeMap())
    .filter((type) => !type.name.startsWith('__') && !isSpecifiedScalarType(type))
    .flatMap((type) => [
      type.name,
      ...('getFields' in type ? Object.keys(type.getFields()) : []),
      ...('getValues' in type ? type.getValues().map(({ name }) => name) : []),
    ]),
);
for (const name of ['name', 'type', 'field', 'operation']) names.delete(name);

interface Sent {
  query: string;
  variables?: Record<string, unknown>;
}

const WORD = /[_A-Za-z][_0-9A-Za-z]*/g;

function namesTold(text: string, sent: object): string[] {
  const known = new Set(JSON.stringify(sent).match(WORD));
  return (text.match(WORD) ?? []).filter((word) => names.has(word) && !known.has(word));
}

async function errorsOver(way: 'http' | 'get' | 'websocket', sent: Sent): Promise<string> {
  if (way === 'websocket') {
    const client = server.websocket(one.token);
    const told = await client
      .iterate(sent)
      .next()
      .then(
        ({ value }) => value?.errors,
        (errors: unknown) => errors,
      );
    await client.dispose();
    return JSON.stringify(told);
  }
  const search = new URLSearchParams({ query: sent.query, variables: JSON.stringify(sent.variables ?? {}) });
  const headers = { ...one.headers, 'content-type': 'application/json', 'apollo-require-preflight': 'x' };
  const response =
    way === 'http'
      ? await fetch(`${server.url}/graphql`, { method: 'POST', headers, body: JSON.stringify(sent) })
      : await fetch(`${server.url}/graphql?${search.toString()}`, { headers });
  return JSON.stringify(((await response.json()) as { errors: unknown }).errors);
}

const wrong: Sent[] = [
  { query: '{ userz { id } }' },
  { query: '{ me { emial } }' },
  { query: '{ me }' },
  { query: '{ me { id { x } } }' },
  { query: '{ user { id } }' },
  { query: '{ user(idd: 1) { id } }' },
  { query: '{ users(first: "x") { totalCount } }' },
  { query: '{ users(orderBy: { field: AGE }) { totalCount } }' },
  { query: '{ users(orderBy: 1) { totalCount } }' },
  { query: '{ users(filter: { serach: "x" }) { totalCount } }' },
  { query: '{ me { ... on Usr { id } } }' },
  { query: '{ me { ...F } } fragment F on Post { id }' },
  { query: 'query ($x: Usr) { me { id } }' },
  { query: 'query ($x: Int) { user(id: $x) { id } }' },
  { query: 'query ($o: UserOrder) { users(orderBy: $o) { totalCount } }', variables: { o: { field: 'AGE' } } },
  {
    query: 'query ($o: UserOrder) { users(orderBy: $o) { totalCount } }',
    variables: { o: { feild: '"AGE\\"', x: '"' } },
  },
  { query: 'query ($o: UserOrder) { users(orderBy: $o) { totalCount } }', variables: { o: {} } },
  { query: '{ a: me { id } a: users { totalCount } }' },
  { query: '{ a: me { x: id } a: me { x: email } }' },
  { query: '{ __schema { types { name } } }' },
  { query: '{ __type(name: "Query") { fields { name } } }' },
  { query: '{ ...F } fragment F on Query { __schema { queryType { fields { name } } } }' },
  { query: 'subscription { userChangd { key } }' },
  { query: 'subscription { userChanged { kee } }' },
  { query: 'subscription { userChanged(operations: [INSRT]) { key } }' },
  { query: 'subscription { userChanged }' },
  { query: 'subscription { changes { key } }' },
  { query: 'subscription { arrivals { at } }' },
  { query: 'subscription ($o: [Operation!]) { userChanged(operations: $o) { key } }', variables: { o: ['INSRT'] } },
  { query: 'subscription ($o: [Operation!] = [INSERT]) { changes(snapshot: $o) { __typename } }' },
  { query: 'subscription { userChanged { key } postChanged { key } }' },
  { query: 'subscription { ...F } fragment F on Subscription { __schema { types { name } } userChanged { key } }' },
];

for (const way of ['http', 'get', 'websocket'] as const)
  test(`no name of the schema that was not sent: ${way}`, async () => {
    for (const sent of wrong) {
      const told = await errorsOver(way, sent);
      expect(told).toContain('"message"');
      expect([sent, told, namesTold(told, sent)]).toEqual([sent, told, []]);
      expect(told).not.toContain('Did you mean');
      expect(told).not.toContain('INTERNAL_SERVER_ERROR');
    }
  });

test('mutations, and REST, whose own fields are told as they are documented', async () => {
  const mutation = 'mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }';
  for (const input of [{}, { usrname: 'x' }, { username: 1 }, { confirm: 'NO' }]) {
    const sent = { query: mutation, variables: { input } };
    expect(namesTold(await errorsOver('http', sent), sent)).toEqual([]);
  }
  const missing = await server.rest('POST', '/api/users', { email: 'a@example.com' });
  expect(missing.body.message).toContain('"username"');
  expect(missing.body.message).not.toContain('CreateUserInput');
  const unknown = await server.rest('POST', '/api/users', { usernam: 'x', email: 'a@example.com', password: 'x' });
  expect(unknown.body.message).not.toMatch(/CreateUserInput|Did you mean/);
});

test('what is masked anyway is told as ever', async () => {
  const [replica] = server.databases.replicas;
  await replica!`alter table posts rename to posts_away`;
  try {
    const query = '{ posts { totalCount } }';
    for (const way of ['http', 'websocket'] as const)
      expect(await errorsOver(way, { query })).toContain('the log has it, under the request id of this answer');
  } finally {
    await replica!`alter table posts_away rename to posts`;
  }
});
