import { readdirSync, readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { FUZZ_MS, yieldToOthers } from './support/fuzzing.ts';
import { leaksIn } from './support/leaks.ts';
import { ownProcess, type OwnProcess } from './support/own-process.ts';
import { heard, open } from './support/raw.ts';
import { connectTo, type TestClient } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/**
 * MB that its heap and its pools may come to hold once; the tests share the time: FUZZ_MS=120000 npm test --
 * server/test/fuzz-wire.test.ts. A heap that may grow is not collected while it can, so it may not: of 100,000 requests
 * that leave a kB each, this one would end.
 */
const GROWTH_MAX = 150;
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=96' };

const CHANGES = 'subscription ($after: Cursor) { changes(after: $after) { __typename ... on CaughtUp { cursor } } }';

let databases: TestDatabases;
let server: OwnProcess;
let client: TestClient;
beforeAll(async () => {
  yieldToOthers();
  databases = await freshDatabases();
  server = await ownProcess(databases.config, {
    REQUESTS_PER_SECOND_MAX: '0',
    BOOKMARK_WAIT_MS: '20',
    LOG_LEVEL: 'error',
    ...SMALL_HEAP,
  });
  await server.start();
  client = connectTo(server.url);
});
afterAll(async () => {
  await client?.dispose();
  await server?.stop();
  await databases?.drop();
});

const bounded = { interruptAfterTimeLimit: FUZZ_MS / 3, numRuns: 1_000_000, markInterruptAsFailure: false };
const time = { timeout: FUZZ_MS + 60_000 };

const descriptors = () => readdirSync(`/proc/${server.pid()}/fd`).length;
const megabytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid()}/status`, 'utf8'))![1]) / 1024;

/** The process lives, answers, and holds neither more descriptors nor memory for what it was sent. */
async function leavesNothing(work: () => Promise<void>): Promise<void> {
  await client.query('{ users(first: 1) { totalCount } }');
  const before = [descriptors(), megabytes()] as const;
  await work();
  expect((await client.query('{ users(first: 1) { totalCount } }')).errors).toEqual([]);
  // Its pools may have opened what they may: two of ten connections, and the keep-alive of this client.
  await expect.poll(descriptors, { timeout: 30_000 }).toBeLessThanOrEqual(before[0] + 25);
  expect(megabytes() - before[1]).toBeLessThan(GROWTH_MAX);
}

/** Bytes that are nearly these. */
const near = (samples: readonly Buffer[], pieces: readonly string[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.constantFrom(...samples),
      fc.array(
        fc.record({
          at: fc.double({ min: 0, max: 1, noNaN: true }),
          cut: fc.oneof(fc.constant(0), fc.nat(12)),
          put: fc.oneof(
            fc.constantFrom(...pieces).map((text) => Buffer.from(text, 'latin1')),
            fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
          ),
        }),
        { maxLength: 4 },
      ),
    )
    .map(([sample, edits]) =>
      edits.reduce((bytes, { at, cut, put }) => {
        const place = Math.floor(at * bytes.length);
        return Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + cut)]);
      }, sample),
    );

/** Sends it in two parts, says that this was all, or resets; then hears all until the server closes. */
async function exchange(bytes: Buffer, cut: number, isReset: boolean): Promise<string> {
  const socket = await open(server.url);
  const all = heard(socket);
  const middle = Math.floor(cut * bytes.length);
  socket.write(bytes.subarray(0, middle));
  if (isReset) socket.resetAndDestroy();
  else socket.end(bytes.subarray(middle));
  return all;
}

const request = (line: string, body = '', headers: readonly string[] = []) =>
  Buffer.from([line, 'host: localhost', `content-length: ${body.length}`, ...headers, '', body].join('\r\n'), 'latin1');

test('bytes that are nearly HTTP: no 500, no leak, and nothing is held', time, async () => {
  const json = 'content-type: application/json';
  const samples = [
    request('GET / HTTP/1.1'),
    request('GET /graphql?query=%7Bme%7Bid%7D%7D HTTP/1.1', '', ['apollo-require-preflight: 1']),
    request('POST /graphql HTTP/1.1', '{"query":"{ users { totalCount } }"}', [json]),
    request('POST /api/users HTTP/1.1', '{"username":"x"}', [json, 'connection: close']),
    request('GET /health HTTP/1.0'),
    request('OPTIONS /graphql HTTP/1.1', '', ['origin: http://a.example', 'access-control-request-method: POST']),
    request('GET /graphql HTTP/1.1', '', [
      'connection: Upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
      'sec-websocket-protocol: graphql-transport-ws',
    ]),
    Buffer.from(
      'POST /graphql HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\n5\r\n{"que\r\n0\r\n\r\n',
    ),
  ];
  const pieces = [
    '\r\n',
    '\n',
    '\0',
    ' ',
    ':',
    '%',
    '%zz',
    '..',
    '\xff',
    '"',
    'transfer-encoding: chunked\r\n',
    'content-length: 99999999999999999999\r\n',
    'content-encoding: gzip\r\n',
    'expect: 100-continue\r\n',
    'upgrade: h2c\r\n',
    'host: evil.example\r\n',
    'authorization: Bearer x.y.z\r\n',
    'cookie: readback_bookmark=x; ;;=\r\n',
    'readback-consistency: strong\r\n',
    'x'.repeat(20_000),
  ];
  const run = fc.asyncProperty(
    near(samples, pieces),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.integer({ min: 0, max: 9 }),
    async (bytes, cut, chance) => {
      const text = await exchange(bytes, cut, chance === 0);
      const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status));
      expect([statuses.filter((status) => status === 500 || status === 502), leaksIn(text)]).toEqual([[], []]);
    },
  );
  await leavesNothing(() => fc.assert(run, bounded));
});

/** One frame; lengths and masks may lie. */
const frame = fc
  .record({
    first: fc.oneof(fc.constantFrom(0x81, 0x82, 0x88, 0x89, 0x8a, 0x01, 0x80), fc.nat(255)),
    isMasked: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
    length: fc.option(fc.nat(0xffff), { freq: 8 }),
    payload: fc.oneof(
      fc.constantFrom(
        '{"type":"connection_init"}',
        '{"type":"ping"}',
        '{"id":"1","type":"subscribe","payload":{"query":"subscription { changes { __typename } }"}}',
        '{"id":"1","type":"subscribe","payload":{"query":"{ users { totalCount } }"}}',
        '{"id":"1","type":"complete"}',
        '{"id":"1","type":"subscribe","payload":{"query":"{","variables":[],"operationName":1}}',
        '{"type":"connection_init","payload":[1]}',
      ),
      fc.json(),
      fc.uint8Array({ maxLength: 200 }),
    ),
  })
  .map(({ first, isMasked, length, payload }) => {
    const bytes = Buffer.from(payload as string);
    const said = length ?? bytes.length;
    const mask = isMasked ? randomBytes(4) : Buffer.alloc(0);
    const head = Buffer.from([first, (isMasked ? 0x80 : 0) | (said < 126 ? said : 126)]);
    const more = said < 126 ? Buffer.alloc(0) : Buffer.from([said >> 8, said & 255]);
    const masked = isMasked ? bytes.map((byte, index) => byte ^ mask[index % 4]!) : bytes;
    return Buffer.concat([head, more, mask, masked]);
  });

test('websocket frames of any kind: the others go on, and nothing is held', time, async () => {
  const hello = request('GET /graphql HTTP/1.1', '', [
    'connection: Upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
    'sec-websocket-protocol: graphql-transport-ws',
  ]);
  const other = subscribeTo<any>(client.websocket(), CHANGES);
  expect((await other.next()).changes.__typename).toBe('CaughtUp');
  const run = fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 6 }), async (frames) => {
    const socket = await open(server.url, hello.toString('latin1'));
    const all = heard(socket);
    await vi.waitUntil(() => socket.bytesRead > 0, { interval: 1 });
    socket.end(Buffer.concat(frames));
    const text = await all;
    expect([text.includes('4500'), leaksIn(text)]).toEqual([false, []]);
  });
  await leavesNothing(() => fc.assert(run, bounded));
  await client.rest('POST', '/api/users', { username: 'heard', email: 'heard@example.com', password: 'correct horse' });
  expect((await other.next()).changes.__typename).toBe('UserChange');
  await other.end();
});

test('cursors and bookmarks that are nearly right are refused, or taken for what they say', time, async () => {
  const created = await client.rest('POST', '/api/users', {
    username: 'one',
    email: 'one@example.com',
    password: 'correct horse',
  });
  const bookmark = created.headers.get('readback-bookmark')!;
  const socket = client.websocket();
  const first = subscribeTo<any>(socket, CHANGES);
  const { cursor } = (await first.next()).changes;
  await first.end();
  const { endCursor } = (await client.query<any, object>('{ users(first: 1) { pageInfo { endCursor } } }')).data.users
    .pageInfo;

  const bytes = near(
    [cursor, bookmark, endCursor].map((text) => Buffer.from(text, 'base64url')),
    ['\0', '\xff', '"', ',', '[', 'infinity', 'null', '\xff\xff\xff\xff\xff\xff\xff\xff'],
  );
  const text = fc.oneof(
    bytes.map((some) => some.toString('base64url')),
    near(
      [cursor, bookmark].map((some) => Buffer.from(some)),
      ['=', '+', '/', '-', ' ', 'é'],
    ).map((some) => String(some)),
  );
  const REFUSED = ['BAD_CURSOR', 'CURSOR_EXPIRED', 'BAD_BOOKMARK', 'BAD_USER_INPUT'];
  const run = fc.asyncProperty(text, async (given) => {
    const subscription = subscribeTo<any>(socket, CHANGES, { after: given });
    const answered = await Promise.race([
      subscription.next().then(({ changes }) => changes.__typename as string, codeOf),
      new Promise<string>((resolve) => setTimeout(resolve, 10_000, 'nothing').unref()),
    ]);
    await subscription.end();
    expect([...REFUSED, 'CaughtUp', 'UserChange', 'PostChange']).toContain(answered);
    const sent = Buffer.from(given, 'latin1')
      .toString('latin1')
      .replaceAll(/[^\x21-\x7e]/g, '');
    const asked = await client.query<any, object>(
      'query ($after: String) { users(first: 1, after: $after) { nodes { id } } }',
      { after: given },
      { 'readback-bookmark': sent },
    );
    for (const { extensions } of asked.errors)
      expect([...REFUSED, 'TIMEOUT', 'REPLICA_UNAVAILABLE']).toContain(extensions.code);
  });
  await leavesNothing(() => fc.assert(run, bounded));
});

/** Of what a subscription ended with. */
function codeOf(error: unknown): string {
  const [first] = JSON.parse((error as Error).message) as { extensions: { code: string } }[];
  return first!.extensions.code;
}
