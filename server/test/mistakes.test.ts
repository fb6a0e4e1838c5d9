import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { forClient } from '../database/errors.ts';
import { ClientError } from '../lib/errors.ts';
import { ChangesDocument } from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/** What a client does wrong is told to it, by its right code, and is no line of the log; nor does it end anything else. */
let server: TestServer;
const lines: string[] = [];
beforeAll(
  async () =>
    void (server = await startServer({ LOG_LEVEL: 'error' }, undefined, { write: (line) => void lines.push(line) })),
);
afterAll(() => server.stop());
afterEach(() => expect(lines.splice(0)).toEqual([]));

interface Sent {
  query: string;
  variables?: object;
  operationName?: string;
}

const codesOf = (errors: { extensions?: { code?: string } }[] = []) =>
  errors.map(({ extensions }) => extensions?.code).join();

async function overHttp(sent: Sent): Promise<string> {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(sent),
  });
  return codesOf(((await response.json()) as any).errors);
}

async function overGet({ query, variables, operationName }: Sent): Promise<string> {
  const search = new URLSearchParams({
    query,
    ...(variables && { variables: JSON.stringify(variables) }),
    ...(operationName !== undefined && { operationName }),
  });
  const response = await fetch(`${server.url}/graphql?${search.toString()}`, {
    headers: { 'apollo-require-preflight': 'x' },
  });
  return codesOf(((await response.json()) as any).errors);
}

async function overWebsocket(sent: Sent): Promise<string> {
  const client = server.websocket();
  try {
    const { value } = await client.iterate(sent as { query: string }).next();
    return codesOf(value?.errors);
  } catch (errors) {
    return Array.isArray(errors) ? codesOf(errors) : `closed: ${(errors as { code: number }).code}`;
  } finally {
    await client.dispose();
  }
}

const two = 'query A { __typename } query B { __typename }';
const mistakes: [string, Sent, string][] = [
  [
    'null at an argument',
    {
      query: 'query ($c: OrderDirection = ASC) { users(orderBy: { field: USERNAME, direction: $c }) { totalCount } }',
      variables: { c: null },
    },
    'BAD_USER_INPUT',
  ],
  [
    'null at a condition',
    { query: 'query ($x: Boolean = true) { __typename @skip(if: $x) }', variables: { x: null } },
    'BAD_USER_INPUT',
  ],
  [
    'null at a condition below',
    { query: 'query ($x: Boolean = true) { users { totalCount @include(if: $x) } }', variables: { x: null } },
    'BAD_USER_INPUT',
  ],
  [
    'a variable of another type',
    { query: 'query ($id: ID!) { user(id: $id) { id } }', variables: { id: {} } },
    'BAD_USER_INPUT',
  ],
  ['a variable that is missing', { query: 'query ($id: ID!) { user(id: $id) { id } }' }, 'BAD_USER_INPUT'],
  ['an operation name of nothing', { query: two, operationName: '' }, 'OPERATION_RESOLUTION_FAILURE'],
  ['an operation name that is unknown', { query: two, operationName: 'C' }, 'OPERATION_RESOLUTION_FAILURE'],
  ['no operation name among two', { query: two }, 'OPERATION_RESOLUTION_FAILURE'],
  ['no operation', { query: 'fragment F on Query { __typename }' }, 'GRAPHQL_VALIDATION_FAILED'],
  ['a document that is none', { query: '{' }, 'GRAPHQL_PARSE_FAILED'],
  ['a field that is none', { query: '{ nothing }' }, 'GRAPHQL_VALIDATION_FAILED'],
];

describe.each(mistakes)('%s', (_, sent, code) => {
  test('over HTTP', async () => expect(await overHttp(sent)).toBe(code));
  test('with GET', async () => expect(await overGet(sent)).toBe(code));
  test('over a websocket', async () => expect(await overWebsocket(sent)).toBe(code));
});

const ofSubscriptions: [string, Sent, string][] = [
  [
    'null at an argument',
    { query: 'subscription ($s: Boolean = true) { changes(snapshot: $s) { __typename } }', variables: { s: null } },
    'BAD_USER_INPUT',
  ],
  [
    'a condition that leaves nothing',
    { query: 'subscription { userChanged @include(if: false) { key } }' },
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'a condition by a variable',
    { query: 'subscription ($x: Boolean!) { userChanged @include(if: $x) { key } }', variables: { x: true } },
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'a condition in a fragment',
    { query: 'subscription { ...F } fragment F on Subscription { ... @skip(if: true) { userChanged { key } } }' },
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'null at a condition',
    { query: 'subscription ($x: Boolean = true) { userChanged @include(if: $x) { key } }', variables: { x: null } },
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'a variable of another type',
    { query: 'subscription ($id: ID) { userChanged(id: $id) { key } }', variables: { id: {} } },
    'BAD_USER_INPUT',
  ],
  [
    'an operation name that is unknown',
    { query: 'subscription S { userChanged { key } }', operationName: 'T' },
    'OPERATION_RESOLUTION_FAILURE',
  ],
];

test.each(ofSubscriptions)('a subscription: %s', async (_, sent, code) => {
  expect(await overWebsocket(sent)).toBe(code);
});

test('an object with many wrong fields is one short error, however it is sent', async () => {
  const input = Object.fromEntries(Array.from({ length: 1500 }, (_, n) => [`nothing_${n}`, n]));
  const query = 'mutation ($input: CreateUserInput!) { createUser(input: $input) { bookmark } }';
  const isShort = (answer: object) => expect(JSON.stringify(answer).length).toBeLessThan(2000);
  for (let time = 0; time < 2; time++) {
    const { errors } = await server.query(query, { input });
    expect(codesOf(errors)).toBe('BAD_USER_INPUT');
    isShort(errors);
  }
  const { status, body } = await server.rest('POST', '/api/users', input);
  expect([status, body.error]).toEqual([400, 'BAD_USER_INPUT']);
  isShort(body);
  const client = server.websocket();
  const subscription = 'subscription ($id: ID) { userChanged(id: $id) { key } }';
  for (const sent of [
    { query, variables: { input } },
    { query: subscription, variables: { id: input } },
  ]) {
    const { value } = await client.iterate(sent).next();
    expect(codesOf(value!.errors)).toBe('BAD_USER_INPUT');
    isShort(value!.errors ?? []);
  }
  await client.dispose();
});

test('what one operation does ends no other on its socket', async () => {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const heard: { id?: string; type: string; payload?: any }[] = [];
  let closed: number | undefined;
  socket.on('message', (data: Buffer) => heard.push(JSON.parse(data.toString())));
  socket.on('close', (code) => (closed = code));
  await new Promise((resolve) => socket.once('open', resolve));
  const until = (type: string, id?: string) =>
    expect
      .poll(() => heard.some((message) => message.type === type && message.id === id), { timeout: 10_000 })
      .toBe(true);
  const send = (id: string, payload: string) => socket.send(`{"id":"${id}","type":"subscribe","payload":${payload}}`);
  socket.send('{"type":"connection_init"}');
  await until('connection_ack');
  send('kept', JSON.stringify({ query: 'subscription { changes { __typename } }' }));
  await until('next', 'kept');
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  send('none', JSON.stringify({ query: 'subscription { userChanged @include(if: false) { key } }' }));
  await until('error', 'none');
  send('name', JSON.stringify({ query: 'subscription { userChanged { key } }', operationName: '' }));
  await until('error', 'name');
  // Not declared: it makes no difference to anything.
  send('extra', `{"query":"subscription { changes { __typename } }","variables":{"x":${deep}}}`);
  await until('next', 'extra');
  send('query', `{"query":"query ($ids: ID) { user(id: $ids) { id } }","variables":{"ids":${deep}}}`);
  await until('complete', 'query').catch(() => until('error', 'query'));
  send('declared', `{"query":"subscription ($id: ID) { userChanged(id: $id) { key } }","variables":{"id":${deep}}}`);
  await expect.poll(() => heard.some(({ id }) => id === 'declared'), { timeout: 10_000 }).toBe(true);
  const before = heard.filter(({ id }) => id === 'kept').length;
  await server.databases
    .primary`insert into users (username, email, password_hash) values ('kept', 'kept@example.com', '-')`;
  await expect.poll(() => heard.filter(({ id }) => id === 'kept').length, { timeout: 10_000 }).toBeGreaterThan(before);
  expect(closed).toBeUndefined();
  socket.terminate();
  await expect.poll(() => server.subscribers(), { timeout: 10_000 }).toBe(0);
});

test('subscriptions that differ in what they do not declare, or in defaults, are one group', async () => {
  const client = server.websocket();
  const events = [{}, { x: 1 }, { y: [2] }].map((variables) => subscribeTo(client, ChangesDocument, variables));
  for (const one of events) await one.next();
  expect(server.groups()).toBe(1);
  for (const one of events) await one.end();
});

test('values that PostgreSQL refuses are the fault of who sent them', async () => {
  const { primary } = server.databases;
  const statements = [
    "select 'x'::bigint",
    "select '99999999999999999999'::bigint",
    "select 'x'::uuid",
    "select 'x'::timestamptz",
    "select '2026-13-45'::date",
    "select 'maybe'::boolean",
    "select '{'::jsonb",
    "select '1e400'::double precision",
    `select '"\\u0000"'::jsonb::text::jsonb ->> 0`,
    "select x::tsvector from (values ('''')) v(x)",
    "select x::jsonpath from (values ('$.')) v(x)",
  ];
  for (const statement of statements) {
    const error = await primary.unsafe(statement).catch((failure: unknown) => failure);
    const told = forClient(error, 'PRIMARY');
    expect([statement, told instanceof ClientError && told.code]).toEqual([statement, 'BAD_USER_INPUT']);
  }
  // A replica has no checks of the table's own, nor do its triggers run where clients read: what it computes is ours.
  for (const [side, statement] of [
    ['REPLICA', 'select 1 / 0'],
    ['PRIMARY', 'select missing'],
    ['PRIMARY', 'select select'],
    ['PRIMARY', "do $$ begin execute 'select select'; end $$"],
  ] as const) {
    const own = await primary.unsafe(statement).catch((failure: unknown) => failure);
    expect(forClient(own, side)).toBe(own);
  }
});

test('what others were in the way of is to be tried again, wherever it was asked', async () => {
  const statement = `do $$ begin raise exception 'deadlock' using errcode = '40P01'; end $$`;
  const error = await server.databases.primary.unsafe(statement).catch((failure: unknown) => failure);
  for (const [side, code] of [
    ['PRIMARY', 'CONFLICT'],
    ['REPLICA', 'REPLICA_UNAVAILABLE'],
  ] as const)
    expect(forClient(error, side)).toMatchObject({ code, message: expect.stringContaining('try again') });
});
