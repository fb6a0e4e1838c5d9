import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { anotherOver, handshake, post, websocket } from './support/edge.ts';
import { ownProcess } from './support/own-process.ts';
import { heard, open, send } from './support/raw.ts';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ CORS_ORIGINS: 'own' });
});
afterAll(() => server.stop());

const another = anotherOver(() => server);

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
    const other = await another({ RESPONSE_TIMEOUT_MS: 500, ANSWER_CHARACTERS_MAX: 100_000_000 });
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
