import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { buildGraphQLSchema } from '../graphql/schema/schema.ts';
import { ChangesDocument } from '../../schema/generated/operations.ts';
import { FUZZ_MS, yieldToOthers } from './support/fuzzing.ts';
import { kindsIn, kindsOf } from './support/kinds-of-errors.ts';
import { person, startProtected, type Person } from './support/people.ts';
import { numbersOf, RandomDocuments } from './support/random-documents.ts';
import type { TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/**
 * Documents that come again are compiled, and what is compiled must answer as graphql's interpreter, which has the first
 * times. FUZZ_MS=120000 COMPILED_SEED=1 npm test -- server/test/compiled.test.ts plays for longer, or the same again.
 */
const SEED = Number(process.env['COMPILED_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
/** Interpreted at first, then compiled. */
const TIMES = 5;

const compiled = vi.hoisted(() => ({ documents: 0 }));
vi.mock(import('graphql-jit'), async (original) => {
  const actual = await original();
  return { ...actual, compileQuery: (...args) => (compiled.documents++, actual.compileQuery(...args)) };
});

let server: TestServer;
let reader: Person;
let ids: string[];

beforeAll(async () => {
  yieldToOthers();
  server = await startProtected({ REQUESTS_PER_SECOND_MAX: 0, SUBSCRIPTIONS_PER_USER_MAX: 0 });
  reader = await person(server);
  const other = await person(server);
  const posts = await server.databases.primary<{ id: string }[]>`
    insert into posts (author_id, title, body, published_at)
    select author::uuid, 'Post ' || n, '', case when n % 2 = 0 then now() end
    from unnest(${[reader.id, other.id]}::text[]) author, generate_series(1, 3) n returning id`;
  ids = [reader.id, other.id, posts[0]!.id, posts[4]!.id];
  await server.query('{ users { totalCount } }', {}, { ...reader.headers, 'readback-consistency': 'strong' });
});
afterAll(() => server.stop());

/** As it is sent, but for where it was read. */
async function answer(query: string, variables: object): Promise<string> {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...reader.headers },
    body: JSON.stringify({ query, variables }),
  });
  const { extensions: _, ...body } = (await response.json()) as Record<string, unknown>;
  // Two that fail at a time may fail in either order.
  const errors = (body['errors'] as object[] | undefined)?.map((error) => JSON.stringify(error)).toSorted();
  return JSON.stringify({ status: response.status, ...body, errors });
}

async function check(query: string, variables: object = {}): Promise<string> {
  const first = await answer(query, variables);
  for (let time = 1; time < TIMES; time++) {
    const again = await answer(query, variables);
    if (again !== first && !(await isToldToo(again, first, query, variables)))
      expect(again, `${query} ${JSON.stringify(variables)}, time ${time + 1}`).toBe(first);
  }
  return first;
}

/**
 * Of several that fail at a time, where one is enough to make all null, it is a matter of time which are told: others of
 * the document's errors may be told another time, with the same data.
 */
async function isToldToo(again: string, first: string, query: string, variables: object): Promise<boolean> {
  const [told, before] = [kindsIn(again), kindsIn(first)];
  if (told.answered !== before.answered || told.kinds.size === 0 || before.kinds.size === 0) return false;
  const kinds = await kindsOf(query, (other) => answer(`${other} #${Math.random()}`, variables));
  return told.kinds.isSubsetOf(kinds);
}

const CONDITIONS = `query ($a: Boolean!) { me { ...g @include(if: $a) ...h } }
  fragment g on User { ...f } fragment h on User { ...f username } fragment f on User { email }`;

const found: [name: string, query: string, variables: object, expected: RegExp][] = [
  ['a fragment in two, one of them left out', CONDITIONS, { a: false }, /"email":"person/],
  [
    'an alias that objects have already',
    '{ me { __proto__: username constructor: id } }',
    {},
    /"__proto__":"person.*"constructor":"/,
  ],
  [
    'variables that objects have already',
    'query ($toString: ID!) { user(id: $toString) { id } }',
    {},
    /was not provided/,
  ],
  [
    'paths that come to one name',
    '{ a: users(first: 1) { b: nodes { id } } a_b: users(first: 1) { nodes { id } } }',
    {},
    /a_b/,
  ],
  [
    'a default of a variable in an object',
    'query ($s: String = "person") { users(filter: { search: $s }) { totalCount } }',
    {},
    /2/,
  ],
  ['a variable left out of an object', 'query ($s: String) { users(filter: { search: $s }) { totalCount } }', {}, /2/],
  [
    'two that fail where one is enough',
    '{ me { a: posts(first: 101) { totalCount } b: posts(last: 101) { totalCount } } }',
    {},
    /101/,
  ],
];

for (const [name, query, variables, expected] of found)
  test(`the same answer each time: ${name}`, async () => {
    expect(await check(query, variables)).toMatch(expected);
  });

test('all kinds of errors are known of a document that fails in several ways, whichever is told', async () => {
  const several = `query ($n: Int, $id: ID!) { users { nodes { posts(last: $n before: "a") { totalCount } } } me { ...m } user(id: $id) { id } }
    fragment m on User { ...n posts(last: 1000) { totalCount } } fragment n on User { a: posts(first: 0, last: 0) { totalCount } }`;
  const kinds = await kindsOf(several, (query) => answer(query, { n: 2, id: 'a' }));
  const codes = [...kinds].map((kind) => (JSON.parse(kind) as [string, { code: string }])[1].code);
  expect(codes.toSorted()).toEqual(['BAD_CURSOR', 'BAD_USER_INPUT', 'BAD_USER_INPUT', 'BAD_USER_INPUT']);
});

test("what a client writes is never run as the server's own code", async () => {
  const mark = '__MAGIC_DATE__33a9e76d_02e0_4128_8e92_3530ad3da74d';
  const scope = globalThis as { entered?: boolean };
  const code = `${mark}globalThis.entered=true`;
  await check(`{ user(id: "${code}") { id } }`);
  await check(
    `query ($id: ID = "${code}") { users(filter: { search: "${code}" }, after: "${code}") { totalCount } post(id: $id) { id } }`,
  );
  await check('query ($id: ID!) { user(id: $id) { id } }', { id: code });
  expect(scope.entered).toBeUndefined();
});

test('documents as most clients send them are compiled', async () => {
  const documents = [
    'query ($id: ID!) { user(id: $id) { id username firstName createdAt } }',
    'query ($first: Int!) { users(first: $first) { nodes { id username } } }',
    '{ users(first: 2, orderBy: null) { nodes { ...P } } } fragment P on User { id posts(first: 2) { nodes { id author { id } } } }',
    'query ($a: ID!, $b: ID!) { u0: user(id: $a) { id } u1: user(id: $b) { id } }',
  ];
  for (const document of documents) {
    const before = compiled.documents;
    await check(document, { id: ids[0], first: 2, a: ids[0], b: ids[1] });
    expect([document, compiled.documents - before]).toEqual([document, 1]);
  }
});

test('an operation that goes wrong when compiled is interpreted for a while', async () => {
  const failing = 'query ($id: ID!) { user(id: $id) { id } }'.padEnd(60);
  const statements = server.databases.statements('replica-1', /readback reads/);
  const asked = async (id: string | undefined) => {
    const before = statements().length;
    await answer(failing, { id });
    return statements().length - before;
  };
  await server.databases.replicas[0]!`alter table users rename column username to username_away`;
  try {
    // Three are interpreted, the fourth is compiled and then interpreted, the next ten are interpreted.
    const counts = [];
    for (let time = 0; time < 16; time++) counts.push(await asked(ids[time % 2]));
    expect(Math.max(...counts.slice(5, 14))).toBeLessThanOrEqual(Math.min(...counts.slice(0, 3)));
  } finally {
    await server.databases.replicas[0]!`alter table users rename column username_away to username`;
  }
});

/** Random documents, until the time is over. */
async function fuzz(ms: number, random: () => number): Promise<number> {
  const schema = buildGraphQLSchema();
  const fields = ['me', 'user', 'post', 'users', 'posts'];
  const documents = new RandomDocuments({ schema, root: schema.getQueryType()!, fields, ids }, random);
  let count = 0;
  for (const until = performance.now() + ms; performance.now() < until; count += AT_ONCE)
    await Promise.all(
      Array.from({ length: AT_ONCE }, () => documents.next()).map(({ query, variables }) => check(query, variables)),
    );
  return count;
}

const AT_ONCE = 4;

const time = { timeout: FUZZ_MS + 60_000 };

test('random documents are answered the same each time', time, async () => {
  console.log(`COMPILED_SEED=${SEED}`);
  const random = numbersOf(SEED);
  const before = compiled.documents;
  const count = await fuzz(FUZZ_MS / 2, random);
  console.log(`${count} documents, ${compiled.documents - before} of them compiled`);
  expect(compiled.documents - before).toBeGreaterThan(count / 10);
  const [replica] = server.databases.replicas;
  await replica!`alter table posts rename to posts_away`;
  try {
    expect(await check('{ me { username posts { totalCount } } users { totalCount } }')).toContain(
      'INTERNAL_SERVER_ERROR',
    );
    console.log(`${await fuzz(FUZZ_MS / 2, random)} documents over a table that is away`);
  } finally {
    await replica!`alter table posts_away rename to posts`;
  }
});

test('events are told the same, by a subscription that is compiled and by a new one', { timeout: 60_000 }, async () => {
  const client = server.websocket(reader.token);
  const { primary } = server.databases;
  const rename = (to: number) => primary`update users set first_name = ${`name ${to}`} where id = ${reader.id}`;
  const selections = [
    'changes { __typename ... on Change { key operation } ... on UserChange { user { username posts(first: 2) { nodes { title author { id } } } } } }',
    'changes { ... on UserChange { before { firstName } user { a: firstName } changedFields } ... on CaughtUp { cursor } }',
    'userChanged { lagMs user { firstName posts(first: 101) { totalCount } } before { id } }',
    'userChanged { user { ...U } before { ...U } }',
  ];
  const subscriptions = (open: string, close: string) =>
    selections.map(
      (text) =>
        `subscription { ${open} ${text} ${close} } ${text.includes('...U') ? 'fragment U on User { firstName email }' : ''}`,
    );
  const documents = subscriptions('', '');
  const raw = (query: string) => client.iterate({ query });
  const isChange = (result: unknown) => /"key"|name \d/.test(JSON.stringify(result));
  const nextChange = async (events: ReturnType<typeof raw>) => {
    for (;;) {
      const { value } = await events.next();
      if (isChange(value) || value?.errors) return JSON.stringify(value);
    }
  };
  const old = documents.map(raw);
  const settle = subscribeTo(client, ChangesDocument);
  await settle.next();
  for (let time = 0; time < 5; time++) {
    await rename(time);
    for (const events of old) await nextChange(events);
  }
  // The same to whoever reads it, and another group.
  const fresh = subscriptions('... {', '}').map(raw);
  await expect.poll(() => server.groups()).toBe(2 * documents.length + 1);
  await subscribeTo(client, `# settled\n${documents[1]}`).next();
  await rename(6);
  for (const [index, events] of fresh.entries()) expect(await nextChange(events)).toBe(await nextChange(old[index]!));
  await settle.end();
});
