import { once } from 'node:events';
import { connect as dial, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Sql } from '../database/connect.ts';
import { formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';

/** What infra/patches repairs in the driver, over a network that breaks connections. */
let databases: TestDatabases;
let network: Server;
const sockets = new Set<Socket>();
let sql: Sql;

beforeAll(async () => {
  databases = await freshDatabases();
  const url = parseDatabaseUrl(databases.config.primary.url);
  const { port } = url.hosts[0]!;
  network = createServer((client) => {
    const upstream = dial(port, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => upstream.destroy());
    sockets.add(client);
    client.on('close', () => sockets.delete(client));
  }).listen(0, '127.0.0.1');
  await once(network, 'listening');
  const hosts = [{ host: '127.0.0.1', port: (network.address() as AddressInfo).port }];
  const options = { max: 1, connectTimeoutMs: 2000, applicationName: 'readback test' };
  sql = connect(formatDatabaseUrl({ ...url, hosts }), options);
});
afterAll(async () => {
  await sql.end({ timeout: 1 });
  network.close();
  await databases.drop();
});

const codeOf = (error: { code: string }) => error.code;

async function isRunning() {
  const runs = async () =>
    (
      await databases.primary`select from pg_stat_activity where datname = current_database() and query = 'select pg_sleep(60)' and state = 'active'`
    ).length;
  await expect.poll(runs).toBe(1);
}

test('a statement that is sent while its connection breaks fails, and the next one has a new connection', async () => {
  for (let round = 0; round < 3; round++) {
    expect((await sql`select 1 as one`)[0]).toEqual({ one: 1 });
    // Told of the error, the driver is not told yet that the socket is closed.
    const next = Promise.withResolvers<unknown[]>();
    const first = sql`select pg_sleep(60)`.catch((error: { code: string }) => {
      next.resolve(Promise.all([sql`select 2`.catch(codeOf), sql`select 3`.catch(codeOf)]));
      return codeOf(error);
    });
    await isRunning();
    for (const socket of sockets) socket.resetAndDestroy();
    expect(await first).toBe('ECONNRESET');
    expect(await next.promise).toEqual(['CONNECTION_CLOSED', 'CONNECTION_CLOSED']);
    await databases.primary`
      select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and query = 'select pg_sleep(60)'`;
  }
});

const numberOf = (query: PromiseLike<readonly { n?: number }[]>) => query.then(([row]) => row!.n, codeOf);

test('a statement that is cancelled while it waits for another leaves the answers to those that they are of', async () => {
  const ask = (n: number, seconds: number) => sql<{ n: number }[]>`select ${n}::int as n, pg_sleep(${seconds})`;
  for (let round = 0; round < 5; round++) {
    await ask(0, 0); // prepared: from now on several are sent at once
    const first = ask(1, 0.2).execute();
    const cancelled = ask(2, 0).execute();
    const behind = ask(3, 0).execute();
    const numbers = Promise.all([numberOf(first), numberOf(cancelled), numberOf(behind)]);
    await setImmediate();
    cancelled.cancel();
    expect(await numbers).toEqual([1, 2, 3]);
  }
});

test('a statement that cannot be sent fails itself, and not the one before it', async () => {
  const ask = (n: number | undefined, seconds: number) =>
    sql<{ n: number }[]>`select ${n!}::int as n, pg_sleep(${seconds})`;
  await ask(0, 0);
  const all = [ask(1, 0.1), ask(undefined, 0), ask(3, 0)].map((query) => numberOf(query.execute()));
  expect(await Promise.all(all)).toEqual([1, 'UNDEFINED_VALUE', 3]);
});

test('statements that are sent again, as their plans are gone, get their own answers', async () => {
  const ask = (n: number) => sql<{ n: number }[]>`select ${n}::int as n`;
  const other = (n: number) => sql<{ n: number }[]>`select ${n}::int + 1000 as n`;
  for (let round = 0; round < 3; round++) {
    await ask(0);
    await sql`deallocate all`;
    const all = [ask(1), ask(2), ask(3), other(4), ask(5)].map((query) => numberOf(query.execute()));
    expect(await Promise.all(all)).toEqual([1, 2, 3, 1004, 5]);
  }
});

test('a statement that is sent again has its values as they were, and the types of now', async () => {
  await sql`create temp table kept (flag bool, value text)`;
  const keep = (flag: boolean, value: string) => sql`insert into kept values (${flag}, ${value})`;
  await keep(false, '1');
  await sql`alter table kept alter column value type int using value::int`;
  await Promise.all([keep(true, '2'), keep(true, '3')]);
  expect(await sql`select * from kept order by value`).toEqual([
    { flag: false, value: 1 },
    { flag: true, value: 2 },
    { flag: true, value: 3 },
  ]);
  await sql`create unique index on kept (value)`;
  await sql`alter table kept alter column value type bigint`;
  // Gone again; what is told is what went wrong the second time.
  expect(await keep(true, '3').catch(codeOf)).toBe('23505');
});

test('a statement that waits to be sent again is cancelled alone', async () => {
  const ask = (n: number, seconds: number) => sql<{ n: number }[]>`select ${n}::int as n, pg_sleep(${seconds}) as p`;
  await ask(0, 0);
  const [row] = await sql`select name from pg_prepared_statements where statement like '%as p'`;
  const behind = (n: number, seconds: number) => sql<{ n: number }[]>`select ${n}::int as n, pg_sleep(${seconds})`;
  await behind(0, 0);
  await sql.unsafe(`deallocate "${row!['name']}"`);
  const [gone, next] = [ask(1, 0).execute(), behind(2, 3).execute()];
  const numbers = Promise.all([numberOf(gone), numberOf(next)]);
  await expect.poll(() => (gone as { retried?: unknown }).retried, { interval: 5 }).toBeDefined();
  gone.cancel();
  expect(await numbers).toEqual(['57014', 2]);
});

test('a transaction that begins while a statement waits to be sent again is one', async () => {
  await sql`deallocate all`;
  const ask = (n: number, seconds: number) => sql<{ n: number }[]>`select ${n}::int as n, pg_sleep(${seconds}) as q`;
  const behind = (n: number) => sql<{ n: number }[]>`select ${n}::int as n, pg_sleep(0.3) as r`;
  await Promise.all([ask(0, 0), behind(0)]);
  const [row] = await sql`select name from pg_prepared_statements where statement like '%as q'`;
  await sql.unsafe(`deallocate "${row!['name']}"`);
  const [gone, next] = [ask(1, 0).execute(), behind(2).execute()];
  const numbers = Promise.all([numberOf(gone), numberOf(next)]);
  await expect.poll(() => (gone as { retried?: unknown }).retried, { interval: 5 }).toBeDefined();
  const xids = await sql.begin(async (own) => {
    const ask = async () => (await own`select pg_current_xact_id()::text as xid`)[0]!['xid'] as string;
    return [await ask(), await ask()];
  });
  expect(xids[0]).toBe(xids[1]);
  expect(await numbers).toEqual([1, 2]);
});

test('when its pool ends, a statement has the connection that is opened for it, and one without any fails', async () => {
  const own = connect(databases.config.primary.url, {
    max: 1,
    connectTimeoutMs: 2000,
    applicationName: 'readback test',
  });
  const both = [1, 2].map((n) => numberOf(own<{ n: number }[]>`select ${n}::int as n`.execute()));
  await setImmediate();
  await own.end();
  expect(await Promise.all(both)).toEqual([1, 'CONNECTION_ENDED']);
});

test('a pool that ends while it waits to connect again, or connects, opens nothing any more', async () => {
  const url = parseDatabaseUrl(databases.config.primary.url);
  const { port } = await freeAddress();
  const own = connect(formatDatabaseUrl({ ...url, hosts: [{ host: '127.0.0.1', port }] }), {
    max: 2,
    connectTimeoutMs: 2000,
    applicationName: 'readback test',
  });
  expect(await own`select 1`.catch(codeOf)).toBe('ECONNREFUSED');
  // The one waits for 50 to 100 ms, the other one's turn comes now.
  const both = [1, 2].map(() => own`select 1`.catch(codeOf));
  const opened: Socket[] = [];
  // Read, as the end of what was sent is seen by who reads alone.
  const late = createServer((socket) => void opened.push(socket.resume())).listen(port, '127.0.0.1');
  await once(late, 'listening');
  await own.end({ timeout: 0 });
  expect(await Promise.all(both)).toEqual(['CONNECTION_DESTROYED', 'CONNECTION_DESTROYED']);
  await setTimeout(300);
  expect(opened.filter((socket) => !socket.destroyed)).toEqual([]);
  late.close();
});

/** Where nobody listens. */
async function freeAddress(): Promise<AddressInfo> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return address;
}

test('what is asked over a reserved connection that was lost fails, and goes over no other one', async () => {
  const held = await sql.reserve();
  const [row] = await held<{ pid: number }[]>`select pg_backend_pid() as pid`;
  await databases.primary`select pg_terminate_backend(${row!.pid}, 5000)`;
  await expect.poll(() => held`select 1`.then(() => 'answered', codeOf), { interval: 5 }).toBe('CONNECTION_CLOSED');
  expect(await numberOf(sql<{ n: number }[]>`select 1 as n`)).toBe(1);
  expect(await held`select 1`.then(() => 'answered', codeOf)).toBe('CONNECTION_CLOSED');
  held.release();
  expect(await numberOf(sql<{ n: number }[]>`select 2 as n`)).toBe(2);
});
