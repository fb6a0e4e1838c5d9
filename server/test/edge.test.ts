import { gzipSync } from 'node:zlib';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Config } from '../boot/config.ts';
import { encodeBookmark } from '../replication/bookmark.ts';
import { PASSWORD, person, startProtected } from './support/people.ts';
import { ownProcess } from './support/own-process.ts';
import { heard, open, send } from './support/raw.ts';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
let closed: TestServer;
beforeAll(async () => {
  server = await startServer({ CORS_ORIGINS: 'own' });
  closed = await startProtected({ CORS_ORIGINS: '*' }, server.databases);
});
afterAll(async () => {
  await closed.stop();
  await server.stop();
});

const others: TestServer[] = [];
const another = async (overrides: Partial<Config>, start = startServer) => {
  const made = await start(overrides, server.databases);
  others.push(made);
  return made;
};
afterEach(async () => {
  for (const made of others.splice(0)) await made.stop();
});

const handshake = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n${more}\r\n`;
const QUERY = JSON.stringify({ query: '{ __typename }' });
const json = { 'content-type': 'application/json' };
const post = (url: string, headers: Record<string, string>, body: string | Buffer = QUERY) =>
  send(url, { method: 'POST', path: '/graphql', headers: { ...json, ...headers }, body });

const ALIVE = 'GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';

/** Holds up what is written to users. */
async function lockUsers(): Promise<() => Promise<void>> {
  const [locked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const lock = server.databases.primary.begin(async (sql) => {
    await sql`lock table users in exclusive mode`;
    locked.resolve();
    await released.promise;
  });
  await locked.promise;
  return async () => {
    released.resolve();
    await lock;
  };
}

async function waiting(): Promise<number> {
  const rows = await server.databases.primary`
    select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
  return rows.length;
}

/** What the server says to a websocket's handshake: 101, or its refusal. */
async function websocket(url: string, headers: Record<string, string> = {}): Promise<number> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  const { promise, resolve } = Promise.withResolvers<number>();
  socket.on('open', () => resolve(101));
  socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
  socket.on('error', () => undefined);
  try {
    return await promise;
  } finally {
    socket.terminate();
  }
}

describe('a connection that is reset ends nothing but itself:', () => {
  const starts: [string, string][] = [
    [
      'a websocket without its headers',
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    ],
    ['a websocket of the wrong form', handshake('/graphql').replace('dGhlIHNhbXBsZSBub25jZQ==', 'x')],
    ['a websocket', handshake('/graphql')],
    ['a websocket and a frame that is none', `${handshake('/graphql')}\xff\xff\xff`],
    ['a websocket for another host', handshake('/graphql').replace('127.0.0.1', 'evil.example')],
    ['another upgrade', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
    ['a tunnel', 'CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
    ['no HTTP', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['half a request', 'POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{'],
    ['headers that are too large', `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
  ];
  for (const [name, bytes] of starts) {
    test(name, async () => {
      const full = await another({ ACCESS: 'protected', SOCKETS_PER_ADDRESS_MAX: 1, METRICS_PORT: 0 });
      const metrics = `http://127.0.0.1:${full.metricsPort}`;
      for (let n = 0; n < 10; n++)
        for (const url of [server.url, full.url, metrics]) {
          const socket = await open(url, bytes);
          // Both before the server has read it, and after it has answered.
          if (n % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
          socket.resetAndDestroy();
        }
      for (const { url } of [server, full]) expect((await post(url, {})).status).toBe(200);
      expect((await send(metrics, { path: '/metrics' })).status).toBe(200);
    });
  }

  test('the process goes on', { timeout: 300_000 }, async () => {
    const process = await ownProcess(server.databases.config);
    await process.start();
    try {
      for (const [, bytes] of starts) (await open(process.url, bytes)).resetAndDestroy();
      expect((await post(process.url, {})).status).toBe(200);
    } finally {
      await process.stop();
    }
  });

  test('who is refused is told why, and has a second to take it', async () => {
    const full = await another({ SOCKETS_PER_ADDRESS_MAX: 1 });
    const first = new WebSocket(`${full.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    await once(first, 'open');
    const refused = await open(full.url, handshake('/graphql'));
    const text = await heard(refused);
    expect(text).toContain('HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\n');
    expect(text).toContain('There are 1 websockets from your address, which is the most');
    first.terminate();
  });
});

describe('silent and slow connections', () => {
  const quick = { HEADERS_TIMEOUT_MS: 300, REQUEST_TIMEOUT_MS: 600, KEEP_ALIVE_TIMEOUT_MS: 300 };

  test('are told what they did not do in time, and ended', async () => {
    const other = await another(quick);
    const answers = await Promise.all(
      [
        '',
        'GET / HTTP/1.1\r\nHost: 127.',
        `POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
      ].map(async (bytes) => heard(await open(other.url, bytes))),
    );
    for (const text of answers) {
      expect(text).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
      expect(text).toContain('its headers have 300 ms, and all of it 600 ms');
    }
  });

  test('between requests are ended, too', async () => {
    const other = await another(quick);
    const text = await heard(await open(other.url, ALIVE));
    expect(text).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  test('on the listener for metrics are ended, and keep nobody out', async () => {
    const other = await another({ ...quick, METRICS_PORT: 0 });
    const url = `http://127.0.0.1:${other.metricsPort}`;
    const silent = await Promise.all(Array.from({ length: 50 }, () => open(url)));
    const ends = silent.map(heard);
    expect((await send(url, { path: '/metrics' })).status).toBe(200);
    expect((await Promise.all(ends))[0]).toContain('408 Request Timeout');
  });

  test('that do not read their answer are ended', async () => {
    const other = await another({ RESPONSE_TIMEOUT_MS: 500 });
    const [author] = await server.databases.primary<{ id: string }[]>`
      insert into users (username, email, password_hash) values ('longwinded', 'long@example.com', 'x') returning id`;
    await server.databases.primary`
      insert into posts (author_id, title, body) select ${author!.id}, 'long', repeat('x', 20000) from generate_series(1, 100)`;
    const pages = Array.from({ length: 20 }, (_, n) => `p${n}: posts(first: 100) { nodes { body } }`).join(' ');
    const body = JSON.stringify({ query: `{ ${pages} }` });
    const head = `POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nReadback-Consistency: strong\r\nContent-Length: ${body.length}\r\n\r\n`;
    const socket = await open(other.url, head + body);
    // It reads 64 kB at most at a time, and would take a minute.
    let text = '';
    let length = 0;
    socket.on('data', (chunk) => {
      if (text.length < 2000) text += String(chunk.subarray(0, 2000));
      length += chunk.length;
      socket.pause();
      setTimeout(() => socket.resume(), 100);
    });
    await once(socket, 'close');
    expect(Number(/content-length: (\d+)/.exec(text)![1])).toBeGreaterThan(39_000_000);
    expect(length).toBeLessThan(39_000_000);
  });

  /** Opens 400 of them, and asks meanwhile. */
  async function crowd(url: string): Promise<Socket[]> {
    const half = 'POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{';
    const silent: Socket[] = [];
    for (let n = 0; n < 400; n++) {
      const socket = await open(url, n % 2 === 0 ? '' : half);
      void heard(socket);
      silent.push(socket);
      if (n % 20 === 0) expect((await post(url, {})).status).toBe(200);
    }
    return silent;
  }
  const stillOpen = (sockets: Socket[]) => sockets.filter((socket) => !socket.closed).length;

  test('never keep a new client out, however many there are', async () => {
    const other = await another({ CONNECTIONS_MAX: 60 });
    const silent = await crowd(other.url);
    expect((await post(other.url, {})).status).toBe(200);
    await expect.poll(() => stillOpen(silent)).toBeLessThanOrEqual(60);
    expect(await websocket(other.url)).toBe(101);
    for (const socket of silent) socket.destroy();
  });

  test(
    'are as many as the process may have files open, and leave some for its databases',
    { timeout: 300_000 },
    async () => {
      const process = await ownProcess(server.databases.config, {}, 256);
      await process.start();
      try {
        const silent = await crowd(process.url);
        await expect.poll(() => stillOpen(silent)).toBeLessThanOrEqual(192);
        const body = JSON.stringify({ query: '{ users(first: 1) { nodes { id } } }' });
        const answers = await Promise.all(Array.from({ length: 50 }, () => post(process.url, {}, body)));
        expect(answers.map(({ text }) => text).filter((text) => !text.includes('"data":{"users"'))).toEqual([]);
        for (const socket of silent) socket.destroy();
      } finally {
        await process.stop();
      }
    },
  );

  test('of one address make room for each other, those of a proxy for nobody', async () => {
    const [few, proxy] = [
      await another({ CONNECTIONS_PER_ADDRESS_MAX: 3 }),
      await another({ CONNECTIONS_PER_ADDRESS_MAX: 3, TRUST_PROXY: ['127.0.0.1'] }),
    ];
    const [own, proxied] = await Promise.all(
      [few, proxy].map(({ url }) => Promise.all(Array.from({ length: 10 }, () => open(url)))),
    );
    for (const socket of [...own!, ...proxied!]) void heard(socket);
    expect((await post(few.url, {})).status).toBe(200);
    await expect.poll(() => own!.filter((socket) => !socket.closed).length).toBeLessThanOrEqual(3);
    expect((await post(proxy.url, {})).status).toBe(200);
    expect(proxied!.filter((socket) => socket.closed)).toEqual([]);
    for (const socket of [...own!, ...proxied!]) socket.destroy();
  });

  test('make room before those that have just come, and those that rest between requests', async () => {
    const other = await another({ CONNECTIONS_MAX: 40 });
    const resting = await Promise.all(Array.from({ length: 20 }, () => open(other.url, ALIVE)));
    for (const socket of resting) {
      await once(socket, 'data');
      void heard(socket);
    }
    const silent = await Promise.all(Array.from({ length: 20 }, () => open(other.url)));
    for (const socket of silent) void heard(socket);
    await new Promise((resolve) => setTimeout(resolve, 2500)); // until they count as silent, and as resting
    const burst = await Promise.all(Array.from({ length: 20 }, () => post(other.url, {})));
    expect(burst.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(stillOpen(resting)).toBe(20);
    for (const socket of [...silent, ...resting]) socket.destroy();
  });

  test('where the server is at work on all, one more is told so, and those are answered', async () => {
    const other = await another({ CONNECTIONS_MAX: 3 });
    const release = await lockUsers();
    try {
      const body = JSON.stringify({ query: `mutation { deleteUser(id: "${crypto.randomUUID()}") { bookmark } }` });
      const running = Array.from({ length: 3 }, () => post(other.url, {}, body));
      await expect.poll(waiting).toBe(3);
      const refused = await post(other.url, {});
      expect(refused).toMatchObject({ status: 429, headers: { connection: 'close', 'retry-after': '1' } });
      expect(JSON.parse(refused.text)).toMatchObject({
        error: 'RATE_LIMITED',
        message: expect.stringContaining('3 connections'),
      });
      expect(await websocket(other.url)).toBe(429);
      await release();
      for (const { text } of await Promise.all(running)) expect(text).toContain('NOT_FOUND');
      expect((await post(other.url, {})).status).toBe(200);
    } finally {
      await release();
    }
  });

  test('a websocket whose client says nothing is closed, and cut off where it does not answer that', async () => {
    const began = performance.now();
    const text = await heard(await open(server.url, handshake('/graphql')));
    expect(text).toMatch(/^HTTP\/1\.1 101 /);
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(text).toContain('Connection initialisation timeout');
  });
});

describe('open mode answers', () => {
  const port = () => new URL(server.url).port;
  const paths = ['/', '/graphql', '/explore', '/api/users', '/health', '/metrics', '/nothing'];

  test('under no name but those of this machine', async () => {
    for (const host of [
      'evil.example',
      `evil.example:${port()}`,
      'localhost.evil.example',
      '127.0.0.1.nip.io',
      '[::2]',
    ])
      for (const path of paths) {
        const { status, text, headers } = await send(server.url, { path, headers: { host } });
        expect([host, path, status]).toEqual([host, path, 403]);
        expect(JSON.parse(text)).toMatchObject({ success: false, error: 'FORBIDDEN' });
        expect(headers['access-control-allow-origin']).toBeUndefined();
      }
    expect(await websocket(server.url, { host: 'evil.example' })).toBe(403);
    expect((await post(server.url, { host: 'evil.example', origin: 'http://evil.example' })).status).toBe(403);
    const absolute = await open(
      server.url,
      'GET http://evil.example/api/users HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    expect(await heard(absolute)).toMatch(/^HTTP\/1\.1 403 /);
  });

  test('under those, whatever the port', async () => {
    for (const host of [
      'localhost',
      'LOCALHOST:80',
      'a.localhost:3000',
      'localhost.',
      '127.0.0.1:1',
      '127.9.9.9',
      '[::1]:3000',
    ])
      expect([host, (await post(server.url, { host })).status]).toEqual([host, 200]);
    expect(await websocket(server.url, { host: 'localhost:1234' })).toBe(101);
  });

  test('under any name whether it is alive and ready', async () => {
    for (const path of ['/health/live', '/health/ready'])
      expect((await send(server.url, { path, headers: { host: '10.1.2.3:3000' } })).status).toBe(200);
  });

  test('under the names in ALLOWED_HOSTS', async () => {
    const named = await another({ ALLOWED_HOSTS: ['dev.example.com'] });
    for (const [host, status] of [
      ['dev.example.com', 200],
      ['Dev.Example.com:8443', 200],
      ['x.dev.example.com', 403],
      ['localhost', 200],
    ] as const) {
      expect([host, (await post(named.url, { host })).status]).toEqual([host, status]);
      expect([host, await websocket(named.url, { host })]).toEqual([host, status === 200 ? 101 : 403]);
    }
  });

  test('its own pages, and no others, over HTTP and websockets', async () => {
    const host = `localhost:${port()}`;
    const own = `http://${host}`;
    expect(await post(server.url, { host, origin: own })).toMatchObject({
      status: 200,
      headers: { 'access-control-allow-origin': own, vary: expect.stringContaining('Origin') },
    });
    expect(await websocket(server.url, { host, origin: own })).toBe(101);
    for (const origin of [
      'https://evil.example',
      'http://localhost:1',
      `http://evil.localhost:${port()}`,
      'null',
      'x',
    ]) {
      const answer = await post(server.url, { host, origin });
      expect([origin, answer.status, answer.headers['access-control-allow-origin']]).toEqual([origin, 403, undefined]);
      expect([origin, await websocket(server.url, { host, origin })]).toEqual([origin, 403]);
      const form = { 'content-type': 'text/plain', origin, host };
      expect((await send(server.url, { method: 'POST', path: '/api/users', headers: form, body: '{}' })).status).toBe(
        403,
      );
      const preflight = { host, origin, 'access-control-request-method': 'PATCH' };
      expect((await send(server.url, { method: 'OPTIONS', path: '/api/users', headers: preflight })).status).toBe(403);
    }
  });

  test('pages of CORS_ORIGINS, over HTTP and websockets', async () => {
    const listed = await another({ CORS_ORIGINS: 'https://app.example.com, http://localhost:5173' });
    for (const origin of ['https://app.example.com', 'http://localhost:5173']) {
      expect((await post(listed.url, { origin })).headers['access-control-allow-origin']).toBe(origin);
      expect(await websocket(listed.url, { origin })).toBe(101);
      const preflight = { origin, 'access-control-request-method': 'PATCH' };
      expect(await send(listed.url, { method: 'OPTIONS', path: '/api/users', headers: preflight })).toMatchObject({
        status: 204,
        headers: {
          'access-control-allow-origin': origin,
          'access-control-allow-methods': expect.stringContaining('PATCH'),
        },
      });
    }
    expect(await websocket(listed.url, { origin: 'http://localhost:5174' })).toBe(403);
  });

  test('beyond a proxy that is trusted, under the name that the proxy was asked for', async () => {
    const settings = { TRUST_PROXY: ['127.0.0.1'], ALLOWED_HOSTS: ['dev.example.com'] };
    const proxied = await another(settings);
    const host = 'localhost:3000';
    const forwarded = { host, 'x-forwarded-host': 'dev.example.com', 'x-forwarded-proto': 'https' };
    const origin = 'https://dev.example.com';
    expect((await post(proxied.url, { ...forwarded, origin })).status).toBe(200);
    expect(await websocket(proxied.url, { ...forwarded, origin })).toBe(101);
    expect((await post(proxied.url, { ...forwarded, origin: 'https://evil.example' })).status).toBe(403);
    // A page can set this header, not that one.
    const rebound = { host: 'evil.example', 'x-forwarded-host': 'localhost', origin: 'http://evil.example' };
    expect((await post(proxied.url, rebound)).status).toBe(403);
    expect((await post(proxied.url, { host, 'x-forwarded-host': 'evil.example' })).status).toBe(403);
    expect((await post(server.url, { host, 'x-forwarded-host': 'dev.example.com', origin })).status).toBe(403);
  });

  test('the page of a proxy that it does not know, where the browser says that it is the same', async () => {
    const seen = { origin: 'https://dev.example.com', 'sec-fetch-site': 'same-origin' };
    expect((await post(server.url, { host: 'localhost:3000', ...seen })).status).toBe(200);
    expect((await post(server.url, { host: 'evil.example', ...seen })).status).toBe(403);
  });

  test('metrics of METRICS_PORT on the loopback under no other name either', async () => {
    const apart = await another({ METRICS_PORT: 0 });
    const url = `http://127.0.0.1:${apart.metricsPort}`;
    for (const [host, status] of [
      ['localhost', 200],
      ['evil.example', 403],
    ] as const)
      expect((await send(url, { path: '/metrics', headers: { host } })).status).toBe(status);
  });
});

describe('protected mode answers', () => {
  test('under any name, and pages of any origin, as nobody has a right without a token', async () => {
    expect((await post(closed.url, { host: 'app.example.com', origin: 'https://other.example.com' })).status).toBe(200);
    expect(await websocket(closed.url, { host: 'app.example.com', origin: 'https://other.example.com' })).toBe(101);
  });

  test('pages of CORS_ORIGINS and its own where that is set, over HTTP and websockets', async () => {
    const listed = await another({ CORS_ORIGINS: 'https://app.example.com' }, startProtected);
    const host = 'api.example.com';
    for (const [origin, status] of [
      ['https://app.example.com', 200],
      ['https://api.example.com', 200],
      ['https://evil.example', 403],
    ] as const) {
      expect([origin, (await post(listed.url, { host, origin })).status]).toEqual([origin, status]);
      expect([origin, await websocket(listed.url, { host, origin })]).toEqual([origin, status === 200 ? 101 : 403]);
    }
    expect(await websocket(listed.url, { host })).toBe(101);
  });

  test('under the names in ALLOWED_HOSTS where that is set', async () => {
    const named = await another({ ALLOWED_HOSTS: ['api.example.com'] }, startProtected);
    expect((await post(named.url, { host: 'api.example.com' })).status).toBe(200);
    expect((await post(named.url, { host: 'evil.example' })).status).toBe(403);
  });
});

describe('an upgrade that is none of ours is ignored:', () => {
  const upgrade = {
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
  };

  test('curl --http2 and clients of Java get their answer over HTTP/1.1', async () => {
    expect((await post(server.url, upgrade)).text).toContain('{"__typename":"Query"}');
    for (const path of ['/health', '/api/users', '/health/ready'])
      expect([path, (await send(server.url, { path, headers: upgrade })).status]).toEqual([path, 200]);
    const created = await send(server.url, {
      method: 'POST',
      path: '/api/users',
      headers: { ...json, ...upgrade },
      body: JSON.stringify({ username: 'upgraded', email: 'upgraded@example.com', password: PASSWORD }),
    });
    expect(created.status).toBe(201);
  });

  test('the connection goes on after it', async () => {
    const head = `Host: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n`;
    const first = `POST /graphql HTTP/1.1\r\n${head}Content-Type: application/json\r\nContent-Length: ${QUERY.length}\r\n\r\n${QUERY}`;
    const socket = await open(server.url, first);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.write('GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n');
    expect((String(answer) + (await heard(socket))).match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  });

  test('a websocket elsewhere than at /graphql gets what is there', async () => {
    const text = await heard(
      await open(server.url, handshake('/nothing', '').replace('Connection: Upgrade', 'Connection: Upgrade, close')),
    );
    expect(text).toMatch(/^HTTP\/1\.1 404 Not Found/);
    expect(text).toContain('There is nothing at GET /nothing.');
  });
});

describe('cookies of another installation on this host', () => {
  const READ = '{ users(first: 1) { nodes { id } } }';
  const write = (username: string) =>
    `mutation { createUser(input: { username: "${username}", email: "${username}@example.com", password: "${PASSWORD}" }) { user { id } } }`;
  const identity = async () => {
    const { readback } = await server.query(READ, {}, { 'readback-consistency': 'strong' });
    const bytes = Buffer.from(readback.bookmark, 'base64url');
    return { cluster: bytes.readBigUInt64BE(1), timeline: bytes.readUInt32BE(9), lsn: bytes.readBigUInt64BE(13) };
  };

  test('are left out, and stay as they are; its own goes beside them', async () => {
    const { cluster, ...rest } = await identity();
    const foreign = encodeBookmark({ cluster: cluster + 1n, timeline: rest.timeline }, rest.lsn);
    const cookie = `readback-bookmark=${foreign}; readback-write=${foreign}; session=theirs`;
    for (const answer of [
      await server.query(READ, {}, { cookie }),
      await server.rest('GET', '/api/users', undefined, { cookie }),
      await server.query(write('beside'), {}, { cookie }),
    ]) {
      expect(answer.status).toBe(200);
      expect(answer.headers.getSetCookie()).toEqual([
        expect.stringMatching(new RegExp(`^readback-(bookmark|write)-${cluster.toString(36)}=[\\w-]{28}; `)),
      ]);
    }
  });

  test('what was written is read by the cookie that goes beside them', async () => {
    const { cluster, timeline, lsn } = await identity();
    const foreign = encodeBookmark({ cluster: cluster + 1n, timeline }, lsn);
    const theirs = `readback-bookmark=${foreign}; readback-write=${foreign}`;
    for (let n = 0; n < 10; n++) {
      const written = await server.query<any, object>(write(`beside-${n}`), {}, { cookie: theirs });
      const [own] = written.headers.getSetCookie()[0]!.split(';');
      const cookie = `${theirs}; ${own}`;
      const { id } = written.data.createUser.user;
      const read = await server.query<any, object>(`{ user(id: "${id}") { id } }`, {}, { cookie });
      expect(read.data.user).toEqual({ id });
    }
  });

  test('what is no bookmark, or none of this history, is refused and cleared as ever', async () => {
    const { cluster, lsn } = await identity();
    const lost = encodeBookmark({ cluster, timeline: 99 }, lsn);
    for (const name of ['readback-bookmark', `readback-write-${cluster.toString(36)}`]) {
      const answer = await server.query(READ, {}, { cookie: `${name}=${lost}` });
      expect(answer).toMatchObject({ status: 400, errors: [{ extensions: { code: 'BAD_BOOKMARK' } }] });
      expect(answer.headers.getSetCookie().join('\n')).toContain(`${name}=; Path=/; Max-Age=0`);
    }
  });
});

describe('requests at the edge of HTTP', () => {
  const ada = { username: 'edge', email: 'edge@example.com', password: PASSWORD };

  test('a path that cannot be decoded is answered as any other', async () => {
    const origin = server.url;
    for (const [path, status] of [
      ['/api/users/%zz', 400],
      ['/%zz', 404],
      ['/api/users/%ff', 400],
      ['/console/%zz', 404],
      ['/api/users/%', 400],
    ] as const) {
      const {
        status: got,
        text,
        headers,
      } = await send(server.url, { path, headers: { host: new URL(origin).host, origin } });
      expect([path, got]).toEqual([path, status]);
      expect(JSON.parse(text)).toMatchObject({
        success: false,
        message: expect.any(String),
        error: expect.any(String),
      });
      expect(headers).toMatchObject({ 'x-request-id': expect.any(String), 'access-control-allow-origin': origin });
    }
  });

  test('what is no HTTP is answered in the same form', async () => {
    const text = await heard(await open(server.url, 'GET / HTTP/1.1\r\nno header\r\n\r\n'));
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request/);
    expect(JSON.parse(text.split('\r\n\r\n')[1]!)).toMatchObject({ success: false, error: 'BAD_REQUEST' });
  });

  test('DELETE with a content type and no body deletes', async () => {
    const { body } = await server.rest('POST', '/api/users', ada);
    const answer = await send(server.url, { method: 'DELETE', path: `/api/users/${body.data.id}`, headers: json });
    expect(answer.status).toBe(200);
    for (const method of ['POST', 'PUT', 'PATCH'])
      expect(
        (
          await send(server.url, {
            method,
            path: `/api/users${method === 'POST' ? '' : `/${body.data.id}`}`,
            headers: json,
          })
        ).status,
      ).toBe(400);
    expect((await post(server.url, {}, '')).status).toBe(400);
  });

  test('a body that is compressed gets 415, which says so', async () => {
    const body = gzipSync(JSON.stringify(ada));
    const headers = { ...json, 'content-encoding': 'gzip' };
    for (const path of ['/api/users', '/graphql']) {
      const answer = await send(server.url, { method: 'POST', path, headers, body });
      expect(answer.status).toBe(415);
      expect(JSON.parse(answer.text)).toMatchObject({ error: 'BAD_REQUEST', message: expect.stringContaining('gzip') });
    }
    expect((await post(server.url, { 'content-encoding': 'identity' })).status).toBe(200);
  });

  test('a body of another type gets 415, which says what to send', async () => {
    const answer = await send(server.url, {
      method: 'POST',
      path: '/graphql',
      headers: { 'content-type': 'text/csv' },
      body: 'x',
    });
    expect([answer.status, JSON.parse(answer.text).message]).toEqual([
      415,
      'Send the body as content-type: application/json.',
    ]);
  });

  test('bytes that are no UTF-8 are refused, and not stored as something else', async () => {
    const latin = Buffer.from(JSON.stringify({ ...ada, first_name: 'Zoë' }), 'latin1');
    const query =
      'mutation ($f: String) { createUser(input: { username: "edge", email: "edge@example.com", password: "12345678", firstName: $f }) { bookmark } }';
    const graphql = Buffer.from(JSON.stringify({ query, variables: { f: 'Zoë' } }), 'latin1');
    for (const [path, body] of [
      ['/api/users', latin],
      ['/graphql', graphql],
    ] as const) {
      const answer = await send(server.url, { method: 'POST', path, headers: json, body });
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.text).message).toContain('UTF-8');
    }
    for (const isBinary of [false, true]) {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
      await once(socket, 'open');
      socket.send(JSON.stringify({ type: 'connection_init' }), { binary: isBinary });
      await once(socket, 'message');
      const subscribe = JSON.stringify({ id: '1', type: 'subscribe', payload: { query, variables: { f: 'Zoë' } } });
      socket.send(Buffer.from(subscribe, 'latin1'), { binary: isBinary });
      const [code] = await once(socket, 'close');
      expect(code).toBe(1007);
    }
    const found = await server.databases
      .primary`select 1 from users where username = 'edge' or first_name like ${'%\ufffd%'}`;
    expect(found).toHaveLength(0);
  });
});

describe('headers of answers', () => {
  test('Link leads to the next page without the host that a client has named', async () => {
    for (let n = 0; n < 2; n++)
      await server.rest('POST', '/api/users', {
        username: `linked-${n}`,
        email: `linked-${n}@example.com`,
        password: PASSWORD,
      });
    const { headers } = await send(closed.url, {
      path: '/api/users?limit=1',
      headers: { host: 'evil.example', authorization: (await person(closed)).headers.authorization },
    });
    expect(headers['link']).toMatch(/^<\/api\/users\?limit=1&after=[^>]+>; rel="next"$/);
  });

  test('TLS is asked for over TLS alone, and of subdomains where an operator says so', async () => {
    const proxied = await another({ TRUST_PROXY: ['127.0.0.1'] });
    const all = await another({ TRUST_PROXY: ['127.0.0.1'], HSTS_INCLUDE_SUBDOMAINS: 'on' });
    const hsts = async ({ url }: TestServer, headers: Record<string, string>, path = '/health') =>
      (await send(url, { path, headers })).headers['strict-transport-security'];
    const overTls = { 'x-forwarded-proto': 'https' };
    for (const path of ['/', '/graphql', '/health', '/api/users', '/nothing']) {
      expect(await hsts(proxied, overTls, path)).toBe('max-age=31536000');
      expect(await hsts(proxied, {}, path)).toBeUndefined();
      expect(await hsts(server, overTls, path)).toBeUndefined();
    }
    expect(await hsts(all, overTls)).toBe('max-age=31536000; includeSubDomains');
  });

  test('answers that depend on who asks are kept by nobody', async () => {
    const { headers: token } = await person(closed);
    for (const path of ['/api/users', '/graphql?query=%7Bme%7Bid%7D%7D', '/health', '/health/ready', '/nothing']) {
      const headers = { ...token, 'apollo-require-preflight': '1' };
      expect([path, (await send(closed.url, { path, headers })).headers['cache-control']]).toEqual([
        path,
        expect.stringContaining('no-store'),
      ]);
    }
    expect((await post(closed.url, token)).headers['cache-control']).toContain('no-store');
  });
});

describe('health', () => {
  const health = async (url: string, headers: Record<string, string> = {}) =>
    JSON.parse((await send(url, { path: '/health', headers })).text) as Record<string, unknown>;
  const BRIEF = ['message', 'reads', 'status', 'timestamp', 'writes'];
  const FULL = ['feed', 'message', 'primary', 'reads', 'replicas', 'status', 'tables', 'timestamp', 'writes'];
  const keysOf = (of: object) => Object.keys(of).toSorted();

  test('tells the inside to administrators, and in open mode', async () => {
    const [someone, admin] = [await person(closed), await person(closed, true)];
    expect(keysOf(await health(server.url))).toEqual(FULL);
    expect(keysOf(await health(closed.url))).toEqual(BRIEF);
    expect(keysOf(await health(closed.url, someone.headers))).toEqual(BRIEF);
    expect(keysOf(await health(closed.url, { authorization: 'Bearer x.y.z' }))).toEqual(BRIEF);
    expect(keysOf(await health(closed.url, admin.headers))).toEqual(FULL);
    const apart = await another({ METRICS_PORT: 0 }, startProtected);
    expect(keysOf(await health(`http://127.0.0.1:${apart.metricsPort}`))).toEqual(FULL);
  });
});
