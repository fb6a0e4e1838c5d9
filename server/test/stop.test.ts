import { Agent, request } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { holdTable } from './support/faults.ts';
import { startServer } from './support/server.ts';

let databases: TestDatabases;
beforeAll(async () => void (databases = await freshDatabases()));
afterAll(() => databases.drop());

const ready = (url: string) => fetch(`${url}/health/ready`).then(async (answer) => (await answer.json()) as object);

test('a server that has yet to find its place in the change feed is not ready, and says so', async () => {
  const [replica] = databases.replicas;
  const held = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const lock = replica!.begin(async (sql) => {
    await sql`lock table readback.change_log in access exclusive mode`;
    locked.resolve();
    await held.promise;
  });
  await locked.promise;
  const server = await startServer({}, databases);
  expect(await ready(server.url)).toEqual({
    status: 'not ready',
    reason: 'The server is starting: it has yet to find its place in the change feed',
  });
  held.resolve();
  await lock;
  await expect.poll(() => ready(server.url)).toEqual({ status: 'ready' });
  await server.stop();
});

/** Over one connection that is kept open, as a proxy does it. */
function overOne(url: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (path: string, body?: object) => {
    const headers = { 'content-type': 'application/json' };
    const asked = request(`${url}${path}`, { agent, method: body ? 'POST' : 'GET', headers });
    asked.end(body && JSON.stringify(body));
    const [answer] = await once(asked, 'response');
    let text = '';
    for await (const chunk of answer) text += chunk;
    return { status: answer.statusCode, connection: answer.headers.connection, body: JSON.parse(text) };
  };
  return { ask, end: () => agent.destroy() };
}

test('told to stop, it says so at once, and takes requests until the drain is over', async () => {
  const server = await startServer({ SHUTDOWN_DRAIN_MS: 1000 }, databases);
  const client = overOne(server.url);
  expect(await client.ask('/health/ready')).toMatchObject({ status: 200, connection: 'keep-alive' });
  const stopped = server.stop();
  expect(await client.ask('/health/ready')).toMatchObject({
    status: 503,
    connection: 'close',
    body: { status: 'not ready', reason: 'The server is stopping: what runs is finished, and nothing new should come' },
  });
  expect(await client.ask('/health/live')).toMatchObject({ status: 200 });
  expect(await client.ask('/graphql', { query: '{ users { totalCount } }' })).toMatchObject({
    status: 200,
    connection: 'close',
    body: { data: { users: { totalCount: 0 } } },
  });
  await stopped;
  await expect(client.ask('/health/live')).rejects.toThrow('ECONNREFUSED');
  client.end();
});

test('what runs is answered, over HTTP and websockets, and sockets are told to come back', async () => {
  const server = await startServer({ SHUTDOWN_GRACE_MS: 4000, STATEMENT_TIMEOUT_MS: 60_000 }, databases);
  const client = overOne(server.url);
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const got: string[] = [];
  const closed = once(socket, 'close');
  const acknowledged = Promise.withResolvers<void>();
  socket.on('open', () => socket.send('{"type":"connection_init"}'));
  socket.on('message', (data) => {
    got.push(JSON.parse((data as Buffer).toString()).type);
    acknowledged.resolve();
  });
  await acknowledged.promise;
  const release = await holdTable(databases.replicas[0]!);
  const query = '{ users { totalCount } }';
  socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
  const answer = client.ask('/graphql', { query });
  await expect.poll(waiting).toBe(2);
  const stopped = server.stop();
  const listens = () =>
    fetch(`${server.url}/health/live`).then(
      () => true,
      () => false,
    );
  await expect.poll(listens).toBe(false);
  await release();
  expect(await answer).toMatchObject({
    status: 200,
    connection: 'close',
    body: { data: { users: { totalCount: 0 } } },
  });
  const [code, reason] = (await closed) as [number, Buffer];
  expect([got, code, reason.toString()]).toEqual([
    ['connection_ack', 'next', 'complete'],
    1012,
    'The server is stopping: connect again',
  ]);
  await stopped;
  client.end();
});

test('what takes too long is cut off, and stopping ends within its time', async () => {
  const server = await startServer({ SHUTDOWN_GRACE_MS: 5000, STATEMENT_TIMEOUT_MS: 60_000 }, databases);
  const release = await holdTable(databases.replicas[0]!);
  const client = overOne(server.url);
  const answer = client.ask('/graphql', { query: '{ users { totalCount } }' }).catch((error: Error) => error.message);
  await expect.poll(waiting).toBe(1);
  const started = performance.now();
  await server.stop();
  expect(performance.now() - started).toBeLessThan(5000);
  expect(await answer).toMatch(/hang up|ECONNRESET/);
  await release();
  client.end();
});

/** Statements that wait for the table that is held. */
async function waiting(): Promise<number> {
  const rows = await databases.replicas[0]!`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and application_name like 'readback reads%'`;
  return rows.length;
}
