import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import * as operations from '../../schema/generated/operations.ts';
import { print, type DocumentNode } from 'graphql';
import { FUZZ_MS, yieldToOthers } from './support/fuzzing.ts';
import { leaksIn } from './support/leaks.ts';
import { PASSWORD, person, startProtected, type Person } from './support/people.ts';
import type { TestServer } from './support/server.ts';

/** The tests share the time: FUZZ_MS=120000 npm test -- server/test/fuzz.test.ts */

let server: TestServer;
let someone: Person;
let secret: Person;
const SECRET_TITLE = 'title-of-a-secret-draft';
beforeAll(async () => {
  yieldToOthers();
  server = await startProtected({
    REQUESTS_PER_SECOND_MAX: 0,
    SIGN_IN_FAILURES_MAX: 1_000_000,
    SIGN_IN_FAILURES_PER_ADDRESS_MAX: 1_000_000,
    SUBSCRIPTIONS_PER_USER_MAX: 0,
  });
  [someone, secret] = [await person(server), await person(server)];
  await server.databases.primary`insert into posts (author_id, title, body) values (${secret.id}, ${SECRET_TITLE}, '')`;
});
afterAll(() => server.stop());

/** The inside of the server, and what is somebody else's. */
const leaks = (text: string) => leaksIn(text, [new RegExp(`${secret.username}@example`), new RegExp(SECRET_TITLE)]);

async function check(response: Response): Promise<void> {
  const text = await response.text();
  expect([response.status < 500 || response.status === 503, leaks(text)]).toEqual([true, []]);
}

/** Values that are wrong in ways that matter, and right ones among them. */
const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.uuid(),
    fc.constantFrom(
      "'; drop table users; --",
      '\0',
      '\ud800',
      '%',
      '1e999',
      '__proto__',
      'ASC',
      'USERNAME',
      'COMMITTED',
      'x'.repeat(5000),
    ),
    fc.base64String(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(
      fc.constantFrom('first', 'id', 'username', 'email', 'password', 'field', 'direction', 'search', 'isAdmin', 'x'),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
})).value;

const NAMES = [
  'id',
  'input',
  'first',
  'after',
  'last',
  'before',
  'filter',
  'orderBy',
  'confirm',
  'users',
  'login',
  'password',
  'current',
  'new',
  'tables',
  'snapshot',
  'operations',
];
const documents = Object.values(operations as Record<string, DocumentNode>).map(print);
const header = fc.string().filter((text) => /^[\x20-\x7e]*$/.test(text));
const headers = fc.record(
  {
    authorization: fc.oneof(header, fc.constant('mine'), fc.constant('Bearer x.y.z')),
    'readback-bookmark': fc.oneof(
      header,
      fc.base64String().map((text) => text.replaceAll(/[+/=]/g, '_')),
    ),
    'readback-consistency': fc.oneof(header, fc.constantFrom('eventual', 'session', 'strong')),
    cookie: header,
  },
  { requiredKeys: [] },
);

/** Half of them as somebody who is signed in. */
const asMe = (given: Record<string, string>) => ({
  ...given,
  ...((given['authorization'] ?? 'mine') === 'mine' && { authorization: `Bearer ${someone.token}` }),
});

const bounded = { interruptAfterTimeLimit: FUZZ_MS / 4, numRuns: 1_000_000, markInterruptAsFailure: false };
const time = { timeout: FUZZ_MS + 30_000 };

/** Deleting and signing out are among the documents: whoever is gone is replaced. */
async function renew(): Promise<void> {
  const { errors, data } = await server.query<any, object>('{ me { id } }', {}, someone.headers);
  if (errors.length > 0 || data.me === null) someone = await person(server);
}

test('variables of all operations: no 500, no leak', time, async () => {
  const variables = fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 5 });
  const run = fc.asyncProperty(fc.constantFrom(...documents), variables, headers, async (query, given, more) => {
    await renew();
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...asMe(more) },
      body: JSON.stringify({ query, variables: given }),
    });
    await check(response);
  });
  await expect(fc.assert(run, bounded)).resolves.toBeUndefined();
});

test('documents and bodies that are none: no 500, no leak', time, async () => {
  const pieces = fc.constantFrom(
    '{',
    '}',
    '(',
    ')',
    'users',
    'user',
    'id:',
    '"x"',
    '...F',
    'fragment F on User',
    '@skip(if: true)',
    '$x',
    'query',
    'mutation',
    'subscription',
    'nodes',
    'email',
    'posts',
    '[',
    ']',
    ':',
    '1',
    '"""',
    '#',
    '!',
    '__schema',
    '__typename',
  );
  const document = fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join(' '));
  const body = fc.oneof(
    document.map((query) => JSON.stringify({ query })),
    fc
      .record(
        { query: fc.oneof(document, value), variables: value, operationName: value, extensions: value },
        { requiredKeys: [] },
      )
      .map((sent) => JSON.stringify(sent)),
    fc.json(),
    fc.string(),
  );
  const run = fc.asyncProperty(body, headers, async (sent, more) => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json', ...asMe(more) }, body: sent };
    await check(await fetch(`${server.url}/graphql`, init));
  });
  await expect(fc.assert(run, bounded)).resolves.toBeUndefined();
});

test('REST: no 500, no leak', time, async () => {
  const part = fc.oneof(fc.uuid(), fc.string(), fc.constantFrom('..', '%00', '%ff', '1'));
  const body = fc.dictionary(
    fc.constantFrom('username', 'email', 'password', 'first_name', 'is_active', 'is_admin', 'id', '__proto__'),
    value,
  );
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS');
  const query = fc.dictionary(fc.constantFrom('limit', 'after', 'x'), fc.string(), { maxKeys: 3 });
  const run = fc.asyncProperty(method, fc.option(part), query, body, headers, async (verb, id, search, sent, more) => {
    await renew();
    const path =
      id === null ? '/api/users' : `/api/users/${id.startsWith('%') ? id : encodeURIComponent(id.toWellFormed())}`;
    const hasBody = !['GET', 'HEAD', 'OPTIONS'].includes(verb);
    const response = await fetch(`${server.url}${path}?${new URLSearchParams(search).toString()}`, {
      method: verb,
      headers: { ...asMe(more), ...(hasBody && { 'content-type': 'application/json' }) },
      ...(hasBody && { body: JSON.stringify(sent) }),
    });
    await check(response);
  });
  await expect(fc.assert(run, bounded)).resolves.toBeUndefined();
});

test('websocket messages: the server goes on, and nothing leaks', time, async () => {
  const message = fc.oneof(
    fc
      .record({
        id: fc.constantFrom('1', '2', ''),
        type: fc.constantFrom('subscribe', 'complete', 'ping', 'connection_init', 'next'),
        payload: fc.oneof(
          value,
          fc.record({
            query: fc.oneof(fc.constantFrom(...documents), fc.string()),
            variables: fc.dictionary(fc.constantFrom(...NAMES), value),
          }),
        ),
      })
      .map((sent) => JSON.stringify(sent)),
    fc.json(),
    fc.string(),
  );
  const run = fc.asyncProperty(fc.array(message, { maxLength: 5 }), value, async (messages, params) => {
    await renew();
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    let heard = '';
    socket.on('message', (data: Buffer) => (heard += data.toString()));
    socket.on('error', () => {});
    const closed = new Promise<number>((resolve) => socket.on('close', resolve));
    await new Promise((resolve) => socket.on('open', resolve));
    const payload = Math.random() < 0.5 ? { token: someone.token } : params;
    socket.send(JSON.stringify({ type: 'connection_init', payload }));
    for (const sent of messages) socket.send(sent);
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.close();
    const code = await closed;
    // The protocol's library takes a message that only servers send for a fault of its own.
    const isFault = code === 4500 && !messages.some((sent) => sent.includes('"next"'));
    expect([isFault, leaks(heard)]).toEqual([false, []]);
  });
  await expect(fc.assert(run, bounded)).resolves.toBeUndefined();
  expect(
    (await server.query(operations.SignInDocument, { login: secret.username, password: PASSWORD })).errors,
  ).toEqual([]);
});
