import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
beforeAll(async () => void (server = await startServer()));
afterAll(() => server.stop());

describe('GraphQL over HTTP, by its own audits:', () => {
  for (const audit of serverAudits({ url: () => `${server.url}/graphql`, fetchFn: fetch }).filter(({ name }) =>
    name.startsWith('MUST'),
  )) {
    test(`${audit.id} ${audit.name}`, async () => {
      const result = await audit.fn();
      expect(result.status === 'ok' ? 'ok' : `${result.status}: ${result.reason}`).toBe('ok');
    });
  }
});

describe('browsers', () => {
  test('run nothing of an answer, show it in no frame, and take it for nothing else than it is', async () => {
    for (const path of ['/api/users', '/health', '/nothing']) {
      const { headers } = await fetch(`${server.url}${path}`);
      expect(headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
    }
  });

  test('show the page of Apollo Sandbox, which says by itself what it loads', async () => {
    const response = await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } });
    expect(response.headers.get('content-security-policy')).toBe(
      "default-src * 'unsafe-inline' data: blob: ws: wss:;object-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
    );
    expect(await response.text()).toMatch(/http-equiv="Content-Security-Policy" content="[^"]*script-src 'nonce-/);
  });

  test('send no simple request that is run', async () => {
    const query = encodeURIComponent('{ __typename }');
    expect((await fetch(`${server.url}/graphql?query=${query}`)).status).toBe(400);
    const form = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{"query":"{ __typename }"}' };
    expect((await fetch(`${server.url}/graphql`, form)).status).toBeGreaterThanOrEqual(400);
    const mutation = encodeURIComponent('mutation { signOut { bookmark } }');
    const preflighted = { headers: { 'apollo-require-preflight': 'x' } };
    expect((await fetch(`${server.url}/graphql?query=${mutation}`, preflighted)).status).toBe(405);
  });

  test('get no cookie that scripts can read', async () => {
    const { headers } = await server.query('{ users { totalCount } }');
    expect(headers.getSetCookie()).toEqual([expect.stringMatching(/^readback-bookmark=.*; HttpOnly; SameSite=Lax$/)]);
  });

  test('of a listed origin alone may call', async () => {
    const listed = await startServer(
      { CORS_ORIGINS: 'https://app.example.com, https://b.example.com' },
      server.databases,
    );
    const allowed = async (origin: string) =>
      (await fetch(`${listed.url}/health`, { headers: { origin } })).headers.get('access-control-allow-origin');
    expect(await allowed('https://b.example.com')).toBe('https://b.example.com');
    expect(await allowed('https://evil.example.com')).toBeNull();
    await listed.stop();
  });
});
