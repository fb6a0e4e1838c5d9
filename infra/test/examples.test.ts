import { spawn } from 'node:child_process';
import { subscribe as onDiagnostics, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse, print } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CreateUserDocument } from '../../schema/generated/operations.ts';
import { startCluster, type OwnCluster } from '../../server/test/support/cluster.ts';
import { freshDatabases, type TestDatabases } from '../../server/test/support/databases.ts';
import { holdApply } from '../../server/test/support/faults.ts';
import { startServer, type TestServer } from '../../server/test/support/server.ts';
import { Workload } from './support/workload.ts';

/** In plain JavaScript, as users have it. */
const load = (name: string): Promise<any> => import(new URL(`../examples/${name}`, import.meta.url).href);
const folder = mkdtempSync(join(tmpdir(), 'readback-examples-'));

let cluster: OwnCluster;
let databases: TestDatabases;
let server: TestServer;
let port: number;

beforeAll(async () => {
  cluster = await startCluster();
  databases = await freshDatabases({ cluster });
  server = await startServer({ MONITOR_INTERVAL_MS: 100 }, databases);
  port = Number(new URL(server.url).port);
  onDiagnostics('net.server.socket', accepted);
});
afterAll(async () => {
  unsubscribe('net.server.socket', accepted);
  await server.stop();
  await databases.drop();
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

const stopServer = () => server.stop();
const startAgain = async () => void (server = await startServer({ PORT: port, MONITOR_INTERVAL_MS: 100 }, databases));

/** The server's ends of all connections. */
const sockets = new Set<Socket>();
function accepted(message: unknown): void {
  const { socket } = message as { socket: Socket };
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
}

/** As a network does it. A reset of a socket that has begun to end fails in Node, and its close is never told. */
const cutSockets = async () =>
  sockets.forEach((socket) => (socket.writableEnded ? socket.destroy() : socket.resetAndDestroy()));
/** As a proxy does it that finds nothing wrong: a close frame with code 1000. */
const closeSockets = async () => sockets.forEach((socket) => socket.end(Buffer.from([0x88, 2, 0x03, 0xe8])));

/** Inserts, updates and deletes, one transaction each, until it is told to end. */
function keepWriting(): () => Promise<void> {
  let goesOn = true;
  const written = (async () => {
    for (let n = 0; goesOn; n++) {
      const name = crypto.randomUUID();
      await databases.primary`insert into users (username, email, password_hash) values (${name}, ${`${name}@example.com`}, '-')`;
      await databases.primary`update users set first_name = ${`n${n}`} where id in (select id from users order by random() limit 3)`;
      await databases.primary`delete from users where id = (select id from users order by random() limit 1) and ${n % 3 === 0}`;
      await sleep(5);
    }
  })();
  return async () => {
    goesOn = false;
    await written;
  };
}

async function write(transactions: number): Promise<void> {
  for (let n = 0; n < transactions; n++) {
    const name = crypto.randomUUID();
    await databases.primary`insert into users (username, email, password_hash) values (${name}, ${`${name}@example.com`}, '-')`;
  }
}

interface Change {
  operation: string;
  key: string;
}
interface Event extends Change {
  __typename: string;
  reason: string;
  user: object | null;
}

/** What the replica says has happened to users, in order. */
const logged = async (): Promise<Change[]> =>
  (
    await databases.replicas[0]!`
      select operation, key from readback.change_log where table_name = 'users' order by after_lsn, seq`
  ).map(({ operation, key }) => ({ operation, key }));

const rowsOn = async (sql = databases.primary) =>
  (await sql`select id, username, first_name as "firstName" from users order by id`).map((row) => ({ ...row }));

const rowsOf = (copy: Iterable<any>) =>
  [...copy]
    .map(({ id, username, firstName }) => ({ id, username, firstName }))
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));

/** `createdAt` as `created_at`. */
const columnName = (field: string) => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const patience = { timeout: 30_000, interval: 100 };

async function replicated(): Promise<void> {
  const rows = await rowsOn();
  await expect.poll(() => rowsOn(databases.replicas[0]), patience).toEqual(rows);
}

/** Nothing of what is written while the server is away can be read later. */
async function stayAwayForTooLong(): Promise<void> {
  await server.stop();
  await write(20);
  await replicated();
  await databases.replicas[0]!`select readback.prune_log(0, 0, 100000)`;
  await startAgain();
}

/** A copy made from the events of an example, and what they were. */
class Copy {
  readonly rows = new Map<string, object>();
  readonly changes: Change[] = [];
  readonly again: string[] = [];
  caughtUp = 0;
  /** Called with each event, once it counts. */
  onEvent: (event: Event) => void = () => {};

  startAnew(reason: string): void {
    this.again.push(reason);
    this.rows.clear();
  }

  apply(event: Event): void {
    const { __typename: type, operation, key } = event;
    if (type === 'StartAnew') this.startAnew(event.reason);
    else if (type === 'CaughtUp') this.caughtUp++;
    else if (operation === 'DELETE') this.rows.delete(key);
    else this.rows.set(key, event.user!);
    if (operation) this.changes.push({ operation, key });
    this.onEvent(event);
  }
}

const examples: Record<string, (copy: Copy) => Promise<() => Promise<void>>> = {
  'graphql-ws': async (copy) => {
    const { connect, resume } = await load('graphql-ws.mjs');
    const stop = new AbortController();
    const events = resume(connect(`ws://127.0.0.1:${port}/graphql`), { tables: ['users'], signal: stop.signal });
    const followed = (async () => {
      for await (const event of events) copy.apply(event);
    })();
    return async () => {
      stop.abort();
      await followed;
    };
  },
  'apollo-client': async (copy) => {
    const { createApollo, follow } = await load('apollo-client.mjs');
    const client = createApollo(`http://127.0.0.1:${port}/graphql`);
    const startAnew = (reason: string) => copy.startAnew(reason);
    const subscription = follow(client, { tables: ['users'], startAnew }).subscribe((event: Event) =>
      copy.apply(event),
    );
    return async () => {
      subscription.unsubscribe();
      client.stop();
    };
  },
};

describe.for(Object.keys(examples))('%s', { timeout: 60_000 }, (name) => {
  async function follow(onEvent?: (copy: Copy, event: Event) => void) {
    const copy = new Copy();
    copy.onEvent = (event) => onEvent?.(copy, event);
    const stop = await examples[name]!(copy);
    await expect.poll(() => copy.caughtUp, patience).toBeGreaterThan(0);
    return { copy, stop };
  }

  async function isExact(copy: Copy): Promise<void> {
    await replicated();
    const rows = await rowsOn();
    await expect.poll(() => rowsOf(copy.rows.values()), patience).toEqual(rows);
  }

  test('each change once, in order, though the server stops and sockets break while writes go on', async () => {
    await write(20);
    await replicated();
    const before = (await logged()).length;
    const { copy, stop } = await follow();
    const endWriting = keepWriting();
    for (const fault of [cutSockets, closeSockets, stopServer, cutSockets, closeSockets]) {
      await sleep(300);
      await fault();
      if (fault === stopServer) await sleep(1500).then(startAgain);
    }
    await endWriting();
    await isExact(copy);
    expect(copy.changes).toEqual((await logged()).slice(before));
    expect(copy.again).toEqual(['no cursor']);
    await stop();
    await expect.poll(() => server.subscribers()).toBe(0);
  });

  test('a cursor that has expired: again, with a snapshot', async () => {
    const { copy, stop } = await follow();
    await stayAwayForTooLong();
    await isExact(copy);
    expect(copy.again).toEqual(['no cursor', 'CURSOR_EXPIRED']);
    await stop();
  });

  test('a snapshot that breaks off is taken again', async () => {
    // More than the buffers of a socket's two ends take.
    await databases.primary`
      insert into users (username, email, password_hash)
      select n, n || '@example.com', '-' from (select gen_random_uuid()::text as n from generate_series(1, 1000)) r`;
    await replicated();
    const { copy, stop } = await follow(({ rows, again }) => {
      if (rows.size !== 10 || again.length !== 1) return;
      again.push('cut');
      void cutSockets();
    });
    expect(copy.again).toEqual(['no cursor', 'cut', 'the snapshot broke off']);
    await isExact(copy);
    await stop();
  });
});

test('what would come again is thrown', async () => {
  const { connect, resume } = await load('graphql-ws.mjs');
  const events = resume(connect(`ws://127.0.0.1:${port}/graphql`), { tables: ['nothing'] });
  await expect(events.next()).rejects.toThrow('The feed cannot be followed: tables must be among users, posts');
  const { createApollo, follow } = await load('apollo-client.mjs');
  const client = createApollo(`http://127.0.0.1:${port}/graphql`);
  const failed = new Promise((_, error) =>
    follow(client, { tables: ['nothing'], startAnew() {} }).subscribe({ error }),
  );
  await expect(failed).rejects.toThrow('tables must be among users, posts');
});

test('apollo-client: reads what it wrote, though the replica does not have it yet', async () => {
  const { createApollo } = await load('apollo-client.mjs');
  const client = createApollo(`http://127.0.0.1:${port}/graphql`);
  const release = await holdApply(databases.replicas[0]!);
  const input = { username: 'reader', email: 'reader@example.com', password: 'correct horse' };
  const { data } = await client.mutate({ mutation: parse(print(CreateUserDocument)), variables: { input } });
  const { id } = data.createUser.user;
  const read = await client.query({
    query: parse('query ($id: ID!) { user(id: $id) { username } }'),
    variables: { id },
  });
  expect(read.data).toMatchObject({ user: { username: 'reader' } });
  await release();
  client.stop();
});

describe('mirror', { timeout: 120_000 }, () => {
  const file = join(folder, 'users.json');
  const script = fileURLToPath(new URL('../examples/mirror.mjs', import.meta.url));
  const read = () => JSON.parse(readFileSync(file, 'utf8')) as { changes: number; rows: Record<string, object> };
  const mirrored = async () => ({ changes: read().changes, rows: rowsOf(Object.values(read().rows)) });

  function start(table = 'users', to = file) {
    const args = ['--url', `ws://127.0.0.1:${port}/graphql`, '--table', table, '--file', to];
    const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    const end = async (signal?: NodeJS.Signals) => {
      const exit = once(child, 'exit');
      if (signal) child.kill(signal);
      return (await exit)[0] as number | null;
    };
    return { said: () => said, end };
  }

  async function isExact(before: number): Promise<void> {
    await replicated();
    const expected = { changes: (await logged()).length - before, rows: await rowsOn() };
    await expect.poll(mirrored, patience).toEqual(expected);
  }

  test('each change is applied once, though it is killed again and again, and server and replica stop', async () => {
    await replicated();
    const before = (await logged()).length;
    let mirror = start();
    await expect.poll(mirror.said, patience).toMatch(/no cursor\n\d+ rows, up to /);
    await expect.poll(() => existsSync(file), patience).toBe(true);
    const endWriting = keepWriting();
    const faults: Record<number, () => Promise<void>> = {
      2: () => server.stop().then(startAgain),
      4: () => cluster.control.stopServer('replica-1').then(() => cluster.control.startServer('replica-1')),
      6: async () => cutSockets(),
    };
    for (let round = 0; round < 10; round++) {
      await sleep(200 + Math.random() * 500);
      await mirror.end('SIGKILL');
      mirror = start();
      await faults[round]?.();
    }
    await endWriting();
    await isExact(before);
    expect(await mirror.end('SIGINT')).toBe(0);
    expect(mirror.said()).not.toContain('a snapshot follows');
  });

  test('a cursor that has expired: again, with a snapshot', async () => {
    await stayAwayForTooLong();
    const mirror = start();
    await expect.poll(mirror.said, patience).toMatch(/ rows\na snapshot follows: CURSOR_EXPIRED\n\d+ rows, up to /);
    await isExact((await logged()).length);
    expect(await mirror.end('SIGTERM')).toBe(0);
  });

  /** Keys that the table and its mirror do not both have, with the same row. PostgreSQL compares: the text is its own. */
  async function differences(table: 'users' | 'posts', path: string): Promise<string[]> {
    const { rows } = JSON.parse(readFileSync(path, 'utf8')) as { rows: Record<string, Record<string, unknown>> };
    const mirrored = Object.entries(rows).map(([key, row]) => ({
      key,
      ...Object.fromEntries(Object.entries(row).map(([name, value]) => [columnName(name), value])),
    }));
    const columns = Object.keys(mirrored[0] ?? {}).filter((name) => name !== 'key');
    const all = (alias: string) => columns.map((name) => `, ${alias}.${name}`).join('');
    const different = await databases.primary.unsafe(
      `select coalesce(t.id::text, m.key) as key
       from ${table} t full join (
         select e.value ->> 'key' as key, r.* from jsonb_array_elements($1::text::jsonb) e(value)
         cross join lateral jsonb_populate_record(null::${table}, e.value) r) m on m.key = t.id::text
       where (t.id::text${all('t')}) is distinct from (m.key${all('m')})`,
      [JSON.stringify(mirrored)],
    );
    return different.map(({ key }) => key as string);
  }

  test('GUARANTEE a copy made by following the feed equals the table, whatever is written', async () => {
    const seed = Number(process.env['MIRROR_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
    console.log(`MIRROR_SEED=${seed}`);
    const workload = new Workload(seed);
    const write = async (transactions: number) => {
      for (let n = 0; n < transactions; n++) await workload.transaction(databases.primary);
    };
    const tables = ['users', 'posts'] as const;
    const fileOf = (table: string) => join(folder, `workload-${table}.json`);
    const startAll = () => tables.map((table) => start(table, fileOf(table)));
    const areExact = async () => {
      for (const table of tables) await expect.poll(() => differences(table, fileOf(table)), patience).toEqual([]);
    };
    await write(20);
    let mirrors = startAll();
    for (const mirror of mirrors) await expect.poll(mirror.said, patience).toMatch(/no cursor\n\d+ rows, up to /);
    for (const table of tables) await expect.poll(() => existsSync(fileOf(table)), patience).toBe(true);
    // Killed, so that they go on from a cursor; and one that the new server has to look up in the change log.
    const faults = [
      async () => {},
      async (written: Promise<void>) => {
        await Promise.all(mirrors.map((mirror) => mirror.end('SIGKILL')));
        await written;
        mirrors = startAll();
      },
      () => server.stop().then(startAgain),
      cutSockets,
    ];
    for (const fault of faults) {
      const written = write(40);
      await fault(written);
      await written;
      await areExact();
    }
    expect(await Promise.all(mirrors.map((mirror) => mirror.end('SIGINT')))).toEqual([0, 0]);
  });

  test('a file of another table is left alone', async () => {
    const mirror = start('posts');
    expect(await mirror.end()).toBe(1);
    expect(mirror.said()).toContain('is a mirror of users, not of posts');
  });
});
