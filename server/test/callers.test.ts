import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { anotherOver, post, websocket } from './support/edge.ts';
import { startProtected } from './support/people.ts';
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

const another = anotherOver(() => server);

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
