import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Config } from '../boot/config.ts';
import { describeError } from '../observe/log.ts';
import { addUser, person, PASSWORD } from './support/people.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/** Stands in everything that is a person's, or a secret. */
const MARK = 'zq7marked';

let server: TestServer;
const lines: string[] = [];
const begin = (overrides: Partial<Config>) =>
  startServer({ ACCESS: 'protected', HASH_QUEUE: 1000, ...overrides }, server?.databases, {
    write: (line) => void lines.push(line),
  });

beforeAll(async () => void (server = await begin({ LOG_LEVEL: 'trace' })));
afterAll(() => server.stop());

const operations = () => lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'operation');

test('one line for each operation, with the request id that the client was given', async () => {
  const { headers } = await person(server);
  const named = await server.query('query Listed { users(first: 1) { totalCount } }', {}, headers);
  const [line, ...more] = operations().filter(({ operation }) => operation === 'Listed');
  expect(more).toEqual([]);
  expect(line).toEqual({
    level: 30,
    time: expect.any(Number),
    pid: process.pid,
    hostname: expect.any(String),
    msg: 'operation',
    requestId: named.headers.get('x-request-id'),
    via: 'http',
    operation: 'Listed',
    kind: 'query',
    outcome: 'ok',
    durationMs: expect.any(Number),
    source: 'replica-1',
    waitedMs: expect.any(Number),
  });
  const refused = await server.rest('GET', '/api/users', undefined, { authorization: 'Bearer none' });
  expect(operations().at(-1)).toMatchObject({
    requestId: refused.headers.get('x-request-id'),
    via: 'rest',
    operation: 'unknown',
    outcome: 'UNAUTHENTICATED',
  });
});

test('at warn, the default, operations leave no line', async () => {
  const quiet = await begin({ LOG_LEVEL: 'warn' });
  const before = lines.length;
  await quiet.query('{ __typename }');
  expect(lines.slice(before)).toEqual([]);
  await quiet.stop();
});

test('no personal data and no secret is logged, at any level', async () => {
  const { primary } = server.databases;
  const owner = await person(server, true);
  const given = {
    username: MARK,
    email: `${MARK}@example.com`,
    password: `${MARK}-password`,
    firstName: MARK,
    lastName: MARK,
  };
  const create = 'mutation Create($input: CreateUserInput!) { createUser(input: $input) { user { id } bookmark } }';
  const signIn = 'mutation SignIn($l: String!, $p: String!) { signIn(login: $l, password: $p) { token } }';
  const created = await server.query<{ createUser: { user: { id: string }; bookmark: string } }, object>(create, {
    input: given,
  });
  expect(created.errors).toEqual([]);
  const signedIn = await server.query<{ signIn: { token: string } }, object>(signIn, { l: MARK, p: given.password });
  const { token } = signedIn.data.signIn;
  const headers = {
    authorization: `Bearer ${token}`,
    cookie: `session=${MARK}`,
    'user-agent': MARK,
    'x-forwarded-for': '203.0.113.77',
  };
  const { bookmark } = created.data.createUser;

  // What works, what is refused, and what breaks.
  await server.query(`query { user(id: "${created.data.createUser.user.id}") { email firstName } }`, {}, headers);
  await server.query(`query Find { users(first: 1, filter: { search: "${MARK}" }) { nodes { email } } }`, {}, headers);
  await server.query(create, { input: given });
  await server.query(signIn, { l: MARK, p: `${MARK}-wrong` });
  await server.query('{ users { totalCount } }', {}, { authorization: `Bearer ${MARK}` });
  await server.query('{ users { totalCount } }', {}, { ...headers, 'readback-bookmark': MARK });
  await server.query(`{ ${MARK} }`, { [MARK]: MARK }, headers);
  await server.query(`{ user(id: "${MARK}") { id } }`, {}, headers);
  await server.rest('GET', `/api/users/${MARK}?token=${MARK}`, undefined, headers);
  await server.rest('GET', `/nothing/${MARK}?token=${MARK}`, undefined, headers);
  await server.rest('POST', '/api/users', { username: MARK, first_name: MARK }, headers);
  await server.rest('POST', '/api/users', `{ ${MARK}`, headers);
  await fetch(`${server.url}/graphql?query={${MARK}}&token=${MARK}`, { headers });
  const socket = server.websocket(token);
  const events = subscribeTo(socket, `subscription { changes(after: "${MARK}") { ... on CaughtUp { at } } }`);
  await events.failure();
  await sendRaw(`GET /${MARK} HTTP/1.1\r\nHost: x\r\nCookie: ${MARK}\r\nX Bad: ${MARK}\r\n\r\n`);

  // PostgreSQL quotes rows and parameters in what it tells beside its messages.
  await primary.unsafe(`
    create function unforeseen() returns trigger language plpgsql as
      $$ begin execute format('select from nowhere where %L is null', new); return new; end $$;
    create trigger unforeseen before insert on users for each row execute function unforeseen()`);
  const broken = [
    server.query(create, { input: { ...given, username: 'other', email: 'other@example.com', firstName: null } }),
    server.query(create, { input: { ...given, username: 'third', email: 'third@example.com' } }),
  ];
  const codes = (await Promise.all(broken)).map(({ errors }) => errors[0]!.extensions.code);
  expect(codes).toEqual(['INTERNAL_SERVER_ERROR', 'INTERNAL_SERVER_ERROR']);
  await primary`drop function unforeseen cascade`;

  // Where the server itself listens is no address of a client.
  const all = lines.filter((line) => !line.includes('Server listening at')).join('');
  expect(operations().length).toBeGreaterThan(10);
  expect(lines.filter((line) => line.includes('operation failed'))).toHaveLength(2);
  expect(all).toContain('42P01'); // the fault itself is told
  const someoneElse = await addUser(server);
  const secrets = [MARK, token, bookmark, owner.token, owner.username, someoneElse.username, PASSWORD, '203.0.113.77'];
  const addresses = ['127.0.0.1', '::1', '$argon2', 'query {', 'totalCount'];
  for (const text of [...secrets, ...addresses]) expect([text, all.includes(text)]).toEqual([text, false]);
});

test('an error tells of itself and of its causes, and nothing that quotes a value', () => {
  const quoted = Object.assign(new Error(`invalid input syntax for type uuid: "${MARK}"`), { code: '22P02' });
  const error = Object.assign(new Error('it broke', { cause: quoted }), {
    code: '23502',
    detail: `Failing row contains (${MARK})`,
    where: MARK,
    parameters: [MARK],
    rawPacket: Buffer.from(MARK),
    table_name: 'users',
  });
  const told = describeError(error) as { stack: string; cause: object };
  expect(told).toMatchObject({ type: 'Error', message: 'it broke', code: '23502', table_name: 'users' });
  expect(told.stack).toMatch(/^ +at .*log\.test\.ts/);
  expect(told.cause).toMatchObject({ code: '22P02' });
  expect(JSON.stringify(told)).not.toContain(MARK);
});

/** What no HTTP client would send. */
async function sendRaw(text: string): Promise<void> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(socket, 'connect');
  socket.end(text);
  socket.resume();
  await once(socket, 'close');
}
