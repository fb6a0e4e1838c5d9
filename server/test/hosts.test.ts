import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UpdateUserDocument } from '../../schema/generated/operations.ts';
import { connect } from '../database/connect.ts';
import { formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { startServer } from './support/server.ts';

/** One primary under several addresses. */
let databases: TestDatabases;
beforeAll(async () => {
  databases = await freshDatabases();
});
afterAll(() => databases.drop());

const NOBODY = { host: '127.0.0.1', port: 1 };

function withHosts(text: string, make: (port: number) => { host: string; port: number }[]): string {
  const url = parseDatabaseUrl(text);
  return formatDatabaseUrl({ ...url, hosts: make(url.hosts[0]!.port) });
}

/** Takes connections, and says nothing. */
async function silentNetwork() {
  const connections = new Set<Socket>();
  const network = createServer((socket) => void connections.add(socket.on('error', () => {}))).listen(0, '127.0.0.1');
  await once(network, 'listening');
  return { network, connections };
}

const open = (url: string) => connect(url, { max: 2, connectTimeoutMs: 2000, applicationName: 'readback test' });

test('a host where nobody listens is passed over, and a statement is cancelled where it runs', async () => {
  const sql = open(withHosts(databases.config.primary.url, (port) => [NOBODY, { host: '127.0.0.1', port }]));
  expect((await sql`select 1 as one`)[0]).toEqual({ one: 1 });
  const slow = sql`select pg_sleep(60)`.execute();
  const failed = slow.catch((error: { code: string }) => error.code);
  const runs = async () =>
    (
      await sql`select from pg_stat_activity where datname = current_database() and query = 'select pg_sleep(60)' and state = 'active'`
    ).length;
  await expect.poll(runs).toBe(1);
  slow.cancel();
  expect(await failed).toBe('57014');
  await sql.end({ timeout: 1 });
});

test('where no host answers, a statement fails at once, and so do those that wait for a connection', async () => {
  const sql = open(withHosts(databases.config.primary.url, () => [NOBODY, { ...NOBODY, port: 2 }]));
  const codes = await Promise.all(
    Array.from({ length: 5 }, () =>
      sql`select 1`.then(
        () => 'answered',
        (error: { code: string }) => error.code,
      ),
    ),
  );
  expect(codes).toEqual(Array(5).fill('ECONNREFUSED'));
  expect(await sql.reserve().catch((error: { code: string }) => error.code)).toBe('ECONNREFUSED');
  await sql.end({ timeout: 1 });
});

test('a pool that ends while a host keeps silent tries no other', async () => {
  const { network, connections } = await silentNetwork();
  const silent = { host: '127.0.0.1', port: (network.address() as AddressInfo).port };
  const url = withHosts(databases.config.primary.url, (port) => [silent, { host: '127.0.0.1', port }]);
  const sql = connect(url, { max: 1, connectTimeoutMs: 5000, applicationName: 'ended' });
  const asked = sql`select 1`.catch((error: { code: string }) => error.code);
  await expect.poll(() => connections.size).toBe(1);
  await sql.end({ timeout: 0 });
  expect(await asked).toBe('CONNECTION_DESTROYED');
  for (const socket of connections) socket.destroy();
  network.close();
  // Whoever went on to the other host began before this one.
  const other = open(databases.config.primary.url);
  expect(await other`select from pg_stat_activity where application_name = 'ended'`).toHaveLength(0);
  await other.end({ timeout: 1 });
});

test('a primary that falls silent is left: its connections are closed, and writes go on over new ones', async () => {
  const url = withHosts(databases.config.primary.url, (port) => [
    { host: '127.0.0.1', port },
    { host: 'localhost', port },
  ]);
  // One connection for writes: what is stopped is the one that the next write goes to.
  const settings = { DB_CONNECT_TIMEOUT_MS: 2000, MONITOR_INTERVAL_MS: 100, PRIMARY_POOL_SIZE: 1 };
  const config = { ...databases.config, primary: { ...databases.config.primary, url } };
  const server = await startServer(settings, { ...databases, config });
  const [user] = await databases.primary`
    insert into users (username, email, password_hash) values ('someone', 'someone@example.com', '-') returning id`;
  const write = (firstName: string) => server.query(UpdateUserDocument, { id: user!['id'], input: { firstName } });
  expect((await write('before')).errors).toEqual([]);
  const rows = await databases.primary`
    select pid from pg_stat_activity where datname = current_database() and application_name in ('readback writes', 'readback watch of the primary')`;
  expect(rows.length).toBeGreaterThan(1);
  for (const { pid } of rows) process.kill(pid, 'SIGSTOP');
  try {
    expect((await write('meanwhile')).errors).toMatchObject([{ extensions: { code: 'PRIMARY_UNAVAILABLE' } }]);
    expect((await write('after')).errors).toEqual([]);
  } finally {
    for (const { pid } of rows) process.kill(pid, 'SIGCONT');
    await server.stop();
  }
});
