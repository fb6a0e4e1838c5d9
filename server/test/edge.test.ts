import { gzipSync } from 'node:zlib';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { encodeBookmark } from '../replication/bookmark.ts';
import { anotherOver, handshake, json, post, QUERY } from './support/edge.ts';
import { PASSWORD, person, startProtected } from './support/people.ts';
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
