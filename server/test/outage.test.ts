import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { CreateUserDocument, UpdateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { startCluster, type OwnCluster } from './support/cluster.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { disableSubscription } from './support/faults.ts';
import { person, startProtected } from './support/people.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

let cluster: OwnCluster;
let databases: TestDatabases;
let server: TestServer;
let id: string;
let bookmark: string;

const settings = { BOOKMARK_WAIT_MS: 300, MONITOR_INTERVAL_MS: 100, DB_CONNECT_TIMEOUT_MS: 1000 };

beforeAll(async () => {
  cluster = await startCluster();
  databases = await freshDatabases({ replicas: 2, cluster });
  server = await startServer(settings, databases);
  const input = { username: 'someone', email: 'someone@example.com', password: 'correct horse' };
  const { data } = await server.query(CreateUserDocument, { input, confirm: 'REPLICATED' });
  ({
    bookmark,
    user: { id },
  } = data.createUser);
  await server.query(UserDocument, { id }, { 'readback-consistency': 'strong' });
});
afterAll(async () => {
  await server.stop();
  await databases.drop().catch(() => undefined);
  await cluster.stop();
});

const health = async () => (await server.rest('GET', '/health')).body;
const healthy = () => expect.poll(async () => (await health()).status, { timeout: 15_000 }).toBe('healthy');

/** On all replicas. */
async function arrived(firstName: string): Promise<void> {
  for (const replica of databases.replicas)
    await expect.poll(() => replica`select first_name from users`).toEqual([{ first_name: firstName }]);
}

test('with every replica down, writes go on and reads fall back to the primary', async () => {
  for (const name of ['replica-1', 'replica-2']) await cluster.control.stopServer(name);
  await expect
    .poll(async () => (await health()).replicas.map(({ state }: { state: string }) => state))
    .toEqual(['DOWN', 'DOWN']);
  expect(await health()).toMatchObject({
    status: 'unhealthy',
    writes: true,
    message: expect.stringContaining('reads fall back to the primary'),
  });
  const { data, errors } = await server.query(UpdateUserDocument, { id, input: { firstName: 'written' } });
  expect(errors).toEqual([]);
  const read = await server.query(UserDocument, { id }, { 'readback-bookmark': data.updateUser.bookmark });
  expect(read).toMatchObject({
    data: { user: { firstName: 'written' } },
    readback: { source: 'primary', waitedMs: 0 },
  });
  for (const name of ['replica-1', 'replica-2']) await cluster.control.startServer(name);
  await healthy();
  // A worker that streams may still be on its way to the write.
  await expect
    .poll(() => server.query(UserDocument, { id }, { 'readback-bookmark': data.updateUser.bookmark }))
    .toMatchObject({
      data: { user: { firstName: 'written' } },
      readback: { source: expect.stringMatching(/^replica-/) },
    });
  bookmark = data.updateUser.bookmark;
});

test('with the primary down, reads go on from the replicas and writes are refused', async () => {
  await cluster.control.stopServer('primary');
  await expect.poll(async () => (await health()).writes).toBe(false);
  expect(await health()).toMatchObject({
    status: 'unhealthy',
    reads: true,
    message: expect.stringContaining('reads go on from the replicas'),
  });
  const read = await server.query(UserDocument, { id }, { 'readback-bookmark': bookmark });
  expect(read).toMatchObject({
    data: { user: { firstName: 'written' } },
    readback: { source: expect.stringMatching(/^replica-/) },
  });
  expect(await server.failure(UpdateUserDocument, { id, input: { firstName: 'lost' } })).toBe('PRIMARY_UNAVAILABLE');
  expect(await server.failure(UserDocument, { id }, { 'readback-consistency': 'strong' })).toBe('PRIMARY_UNAVAILABLE');
  const rest = await server.rest('PATCH', `/api/users/${id}`, { first_name: 'lost' });
  expect(rest).toMatchObject({ status: 503, body: { success: false, error: 'PRIMARY_UNAVAILABLE' } });
  await cluster.control.startServer('primary');
  await healthy();
  expect((await server.query(UpdateUserDocument, { id, input: { firstName: 'again' } })).errors).toEqual([]);
});

test('a read that fell on the primary as that went away goes on from a replica that has what it asks for', async () => {
  const write = (firstName: string, to = server) => to.query(UpdateUserDocument, { id, input: { firstName } });
  expect((await write('there')).errors).toEqual([]);
  await arrived('there');
  const enable = await Promise.all(databases.replicas.map(disableSubscription));
  // It is not looked at meanwhile: the read finds out.
  const unaware = await startServer({ ...settings, MONITOR_INTERVAL_MS: 60_000 }, databases);
  const read = (headers = {}) => unaware.query(UserDocument, { id }, headers);
  expect(await read()).toMatchObject({ readback: { source: 'primary', fallback: 'no replica is well' } });
  const { data } = await write('not there', unaware);
  await cluster.control.stopServer('primary');
  expect((await unaware.rest('GET', '/health')).body.writes).toBe(true);
  const answers = await Promise.all(Array.from({ length: 5 }, () => read({ 'readback-bookmark': bookmark })));
  for (const answer of answers) {
    expect(answer).toMatchObject({
      data: { user: { firstName: 'there' } },
      readback: { source: expect.stringMatching(/^replica-/), fallback: 'the primary is away' },
    });
  }
  expect(await unaware.failure(UserDocument, { id }, { 'readback-bookmark': data.updateUser.bookmark })).toBe(
    'REPLICA_UNAVAILABLE',
  );
  await cluster.control.startServer('primary');
  for (const undo of enable) await undo();
  await unaware.stop();
  await healthy();
  expect((await write('again')).errors).toEqual([]);
});

test('with the primary down, a bookmark that another server gave out right before is good where a replica has it', async () => {
  const other = await startServer({ ...settings, MONITOR_INTERVAL_MS: 60_000 }, databases);
  await expect.poll(async () => (await other.rest('GET', '/health')).body.status).toBe('healthy');
  const { data } = await server.query(UpdateUserDocument, { id, input: { firstName: 'last' } });
  await arrived('last');
  await cluster.control.stopServer('primary');
  expect(await server.failure(UpdateUserDocument, { id, input: { firstName: 'lost' } })).toBe('PRIMARY_UNAVAILABLE');
  await expect
    .poll(() => other.query(UserDocument, { id }, { 'readback-bookmark': data.updateUser.bookmark }))
    .toMatchObject({
      data: { user: { firstName: 'last' } },
      readback: { source: expect.stringMatching(/^replica-/) },
    });
  await cluster.control.startServer('primary');
  await other.stop();
  await healthy();
  expect((await server.query(UpdateUserDocument, { id, input: { firstName: 'again' } })).errors).toEqual([]);
});

test('a server that starts while everything is down serves when it is back', async () => {
  for (const name of ['primary', 'replica-1', 'replica-2']) await cluster.control.stopServer(name);
  const late = await startServer(settings, databases);
  expect(await late.rest('GET', '/health/ready')).toMatchObject({
    status: 503,
    body: { status: 'not ready', reason: 'Neither the primary nor a replica can be reached' },
  });
  expect(await late.failure(UserDocument, { id })).toBe('REPLICA_UNAVAILABLE');
  for (const name of ['primary', 'replica-1', 'replica-2']) await cluster.control.startServer(name);
  await expect.poll(async () => (await late.rest('GET', '/health')).body.status, { timeout: 15_000 }).toBe('healthy');
  expect((await late.query(UserDocument, { id })).data.user!.firstName).toBe('again');
  await late.stop();
});

test('replicas that fall silent are left: their connections are given up, and the feed goes on over new ones', async () => {
  await healthy();
  const query = 'subscription { changes(tables: ["users"]) { ... on UserChange { user { firstName } } } }';
  const events = subscribeTo<{ changes: { user?: { firstName: string } } }>(server.websocket(), query);
  expect(await events.next()).toEqual({ changes: {} });
  const ours = await Promise.all(
    databases.replicas.map(
      (sql) => sql`
        select pid from pg_stat_activity where datname = current_database() and application_name like 'readback %'`,
    ),
  );
  const pids = ours.flat().map(({ pid }) => pid as number);
  expect(pids.length).toBeGreaterThan(3);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  try {
    await server.query(UpdateUserDocument, { id, input: { firstName: 'in silence' } });
    // Each time that the feed had lost its replica, it tells by CaughtUp that nothing is owed.
    let user;
    do ({ user } = (await events.next()).changes);
    while (!user);
    expect(user).toEqual({ firstName: 'in silence' });
    await healthy();
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }
  await events.end();
}, 30_000);

test('a read under way on a replica that falls silent goes on elsewhere within the bound', async () => {
  await healthy();
  const rows = await databases.replicas[0]!`
    select pid from pg_stat_activity where datname = current_database() and application_name like 'readback %'`;
  const postmaster = Number(readFileSync(join(cluster.dir, 'replica-1', 'postmaster.pid'), 'utf8').split('\n')[0]);
  const silence = (signal: NodeJS.Signals) => {
    for (const pid of [postmaster, ...rows.map((row) => row['pid'] as number)]) process.kill(pid, signal);
  };
  silence('SIGSTOP');
  try {
    const began = performance.now();
    const reads = Array.from({ length: 6 }, () => server.query(UserDocument, { id }));
    for (const { errors, data } of await Promise.all(reads)) expect([errors, data.user?.id]).toEqual([[], id]);
    // DB_CONNECT_TIMEOUT_MS, and two looks of REPLICA_LOOK_TIMEOUT_MS; the rest is the machine's.
    expect(performance.now() - began).toBeLessThan(10_000);
    const { readback } = await server.query(UserDocument, { id });
    expect(readback.source).toBe('replica-2');
  } finally {
    silence('SIGCONT');
  }
  await healthy();
}, 30_000);

test('with everything down, a write of somebody who has signed in is refused as any other', async () => {
  await healthy();
  const guarded = await startProtected(settings, databases);
  const { id: mine, headers } = await person({ ...guarded, databases });
  for (const name of ['primary', 'replica-1', 'replica-2']) await cluster.control.stopServer(name);
  // Nothing of the user is known here: somebody has to be asked.
  const late = await startProtected(settings, databases);
  const input = { firstName: 'x' };
  for (const one of [guarded, late]) {
    await expect.poll(async () => (await one.rest('GET', '/health')).body.writes).toBe(false);
    const { errors } = await one.query(UpdateUserDocument, { id: mine, input }, headers);
    expect(errors).toMatchObject([{ extensions: { code: 'PRIMARY_UNAVAILABLE' } }]);
  }
  for (const name of ['primary', 'replica-1', 'replica-2']) await cluster.control.startServer(name);
  await late.stop();
  await guarded.stop();
  await healthy();
  await databases.primary`delete from users where id = ${mine}`;
}, 60_000);

test('a primary that falls silent is known to be away in time: strong reads are refused, others go on', async () => {
  await healthy();
  const rows = await databases.primary`
    select pid from pg_stat_activity where datname = current_database() and application_name = 'readback watch of the primary'`;
  expect(rows).toHaveLength(1);
  const { pid } = rows[0] as { pid: number };
  process.kill(pid, 'SIGSTOP');
  try {
    const strong = await server.failure(UserDocument, { id }, { 'readback-consistency': 'strong' });
    expect(strong).toBe('PRIMARY_UNAVAILABLE');
    expect((await health()).writes).toBe(false);
    const { data, readback } = await server.query(UserDocument, { id }, { 'readback-bookmark': bookmark });
    expect([data.user?.id, readback.source]).toEqual([id, expect.stringMatching(/^replica-/)]);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await healthy();
});

test('a write that a silent primary does not answer fails in time; what became of it is seen when it is back', async () => {
  // One connection writes, so that none is on its way while all that are there are silenced.
  const own = await startServer({ ...settings, OPERATION_TIMEOUT_MS: 500, PRIMARY_POOL_SIZE: 1 }, databases);
  const write = (firstName: string) => own.query(UpdateUserDocument, { id, input: { firstName } });
  expect((await write('before')).errors).toEqual([]);
  const rows = await databases.primary`
    select pid from pg_stat_activity where datname = current_database() and application_name = 'readback writes'`;
  for (const { pid } of rows) process.kill(pid, 'SIGSTOP');
  try {
    expect((await write('silent')).errors).toMatchObject([{ extensions: { code: 'PRIMARY_UNAVAILABLE' } }]);
  } finally {
    for (const { pid } of rows) process.kill(pid, 'SIGCONT');
  }
  await arrived('silent');
  expect((await write('after')).errors).toEqual([]);
  await own.stop();
});

test('a replica that goes away under a snapshot ends the snapshot, and nothing else', async () => {
  await healthy();
  // More than the buffers of a socket's two ends take.
  await databases.primary`
    insert into posts (author_id, title, body) select ${id}, 's' || n, repeat('x', 20000) from generate_series(1, 2000) n`;
  for (const replica of databases.replicas) {
    await expect.poll(() => replica`select count(*)::int from posts`, { timeout: 20_000 }).toEqual([{ count: 2000 }]);
  }
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const query = 'subscription { changes(snapshot: true, tables: ["posts"]) { ... on SnapshotRow { post { body } } } }';
  const first = Promise.withResolvers<void>();
  const last = Promise.withResolvers<string>();
  socket.on('open', () => socket.send('{"type":"connection_init"}'));
  socket.on('message', (data) => {
    const { type } = JSON.parse((data as Buffer).toString());
    if (type === 'connection_ack') socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
    else if (type === 'next') first.resolve();
    else last.resolve(type);
  });
  await first.promise;
  socket.pause();
  for (const name of ['replica-1', 'replica-2']) await cluster.control.stopServer(name);
  socket.resume();
  expect(await last.promise).toBe('error');
  socket.terminate();
  for (const name of ['replica-1', 'replica-2']) await cluster.control.startServer(name);
  await healthy();
  expect((await server.query(UserDocument, { id })).data.user?.id).toBe(id);
}, 60_000);
