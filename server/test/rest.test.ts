import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProtected } from './support/people.ts';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
beforeAll(async () => void (server = await startServer()));
afterAll(() => server.stop());

const john = {
  username: 'johndoe',
  email: 'john@example.com',
  password: 'securePassword123',
  first_name: 'John',
  last_name: 'Doe',
};

test("the seed's walk-through: create, list, read, replace, patch, delete", async () => {
  const created = await server.rest('POST', '/api/users', john);
  expect(created.status).toBe(201);
  const { id } = created.body.data;
  expect(created.headers.get('location')).toBe(`/api/users/${id}`);
  expect(created.body).toEqual({
    success: true,
    message: 'User created',
    data: {
      id,
      username: 'johndoe',
      email: 'john@example.com',
      first_name: 'John',
      last_name: 'Doe',
      is_active: true,
      email_verified: false,
      created_at: expect.any(String),
      updated_at: expect.any(String),
    },
  });
  const mine = { 'readback-bookmark': created.headers.get('readback-bookmark')! };
  expect((await server.rest('GET', `/api/users/${id}`, undefined, mine)).body).toEqual({
    success: true,
    data: created.body.data,
  });
  expect((await server.rest('GET', '/api/users', undefined, mine)).body).toEqual({
    success: true,
    data: [created.body.data],
    count: 1,
  });

  const put = await server.rest('PUT', `/api/users/${id}`, { username: 'johnny', email: 'john@example.com' });
  expect(put.body.data).toMatchObject({ username: 'johnny', first_name: null, is_active: true });
  const patched = await server.rest('PATCH', `/api/users/${id}`, { first_name: 'Jo', is_active: false });
  expect(patched.body.data).toMatchObject({ username: 'johnny', first_name: 'Jo', is_active: false });
  const deleted = await server.rest('DELETE', `/api/users/${id}`);
  expect(deleted).toMatchObject({ status: 200, body: { success: true, data: { id } } });
  const gone = await server.rest('GET', `/api/users/${id}`, undefined, {
    'readback-bookmark': deleted.headers.get('readback-bookmark')!,
  });
  expect(gone).toMatchObject({ status: 404, body: { success: false, error: 'NOT_FOUND' } });
});

test('a list is paged, and Link leads to the next page', async () => {
  for (let n = 0; n < 5; n++)
    await server.rest('POST', '/api/users', { ...john, username: `paged-${n}`, email: `paged-${n}@example.com` });
  const strong = { 'readback-consistency': 'strong' };
  const seen: string[] = [];
  for (let path: string | undefined = '/api/users?limit=2'; path;) {
    const { body, headers }: Awaited<ReturnType<typeof server.rest>> = await server.rest(
      'GET',
      path,
      undefined,
      strong,
    );
    expect(body.count).toBe(body.data.length);
    seen.push(...body.data.map(({ username }: { username: string }) => username));
    path = /<(.*)>; rel="next"/.exec(headers.get('link') ?? '')?.[1];
  }
  expect(seen).toEqual(['paged-4', 'paged-3', 'paged-2', 'paged-1', 'paged-0']);
});

const faults: [string, string, string, unknown, number, string][] = [
  ['an id that is none', 'GET', '/api/users/1', undefined, 400, 'BAD_USER_INPUT'],
  ['nobody', 'PATCH', '/api/users/3fa85f64-5717-4562-b3fc-2c963f66afa6', { first_name: 'x' }, 404, 'NOT_FOUND'],
  ['an empty patch', 'PATCH', '/api/users/3fa85f64-5717-4562-b3fc-2c963f66afa6', {}, 400, 'BAD_USER_INPUT'],
  ['a camelCase field', 'POST', '/api/users', { ...john, firstName: 'x' }, 400, 'BAD_USER_INPUT'],
  ['an unknown field', 'POST', '/api/users', { ...john, admin: true }, 400, 'BAD_USER_INPUT'],
  ['a wrong type', 'POST', '/api/users', { ...john, first_name: 1 }, 400, 'BAD_USER_INPUT'],
  ['a list for a body', 'POST', '/api/users', [], 400, 'BAD_USER_INPUT'],
  ['no body', 'POST', '/api/users', undefined, 400, 'BAD_USER_INPUT'],
  ['a body that is no JSON', 'POST', '/api/users', '{"username":', 400, 'BAD_REQUEST'],
  ['a bad limit', 'GET', '/api/users?limit=x', undefined, 400, 'BAD_USER_INPUT'],
  ['a large limit', 'GET', '/api/users?limit=1000', undefined, 400, 'BAD_USER_INPUT'],
  ['a bad cursor', 'GET', '/api/users?after=x', undefined, 400, 'BAD_CURSOR'],
  ['a route that is none', 'GET', '/api/posts', undefined, 404, 'NOT_FOUND'],
];
for (const [name, method, path, body, status, error] of faults) {
  test(`${name} gets ${status} ${error}`, async () => {
    expect(await server.rest(method, path, body)).toMatchObject({
      status,
      body: { success: false, error, message: expect.any(String) },
    });
  });
}

test('a taken username or email is 409', async () => {
  await server.rest('POST', '/api/users', { ...john, username: 'first-one', email: 'taken@example.com' });
  const again = await server.rest('POST', '/api/users', { ...john, username: 'other', email: 'taken@example.com' });
  expect(again).toMatchObject({ status: 409, body: { success: false, error: 'CONFLICT', field: 'email' } });
});

test('a page of another origin may call it in protected mode', async () => {
  const closed = await startProtected({ CORS_ORIGINS: '*' }, server.databases);
  const response = await fetch(`${closed.url}/api/users`, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://example.com',
      'access-control-request-method': 'PATCH',
      'access-control-request-headers': 'content-type',
    },
  });
  expect(response.status).toBe(204);
  expect(response.headers.get('access-control-allow-origin')).toBe('*');
  expect(response.headers.get('access-control-allow-methods')).toContain('PATCH');
  await closed.stop();
});

test('health tells both sides', async () => {
  const { status, body } = await server.rest('GET', '/health');
  expect(status).toBe(200);
  expect(body).toMatchObject({
    status: 'healthy',
    message: 'Both read and write databases are connected',
    writes: true,
    reads: true,
    primary: { reachable: true },
    replicas: [{ name: 'replica-1', state: 'STREAMING', copyingTables: 0 }],
  });
  expect(Number.isNaN(Date.parse(body.timestamp))).toBe(false);
  expect((await server.rest('GET', '/health/live')).status).toBe(200);
  expect((await server.rest('GET', '/health/ready')).status).toBe(200);
});

test('a browser that opens /graphql sees Apollo Sandbox, pointed here', async () => {
  const response = await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } });
  expect(response.headers.get('content-type')).toContain('text/html');
  const page = await response.text();
  expect(page).toContain('EmbeddedSandbox');
  expect(page).toContain('location.origin + location.pathname');
});

test('a subscription by HTTP is told where to go', async () => {
  const { status, errors } = await server.query('subscription { userChanged { key } }');
  expect(status).toBe(400);
  expect(errors).toMatchObject([
    { message: expect.stringContaining('websocket'), extensions: { code: 'BAD_REQUEST' } },
  ]);
});

test('queries by GET work, mutations by GET do not', async () => {
  const get = (query: string) =>
    fetch(`${server.url}/graphql?query=${encodeURIComponent(query)}`, { headers: { 'apollo-require-preflight': '1' } });
  expect(await (await get('{ users(first: 1) { nodes { id } } }')).json()).toMatchObject({
    data: { users: { nodes: expect.any(Array) } },
  });
  expect((await get('mutation { deleteUser(id: "3fa85f64-5717-4562-b3fc-2c963f66afa6") { bookmark } }')).status).toBe(
    405,
  );
});
