import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { ownProcess, type OwnProcess } from './support/own-process.ts';
import { connectTo, startServer, type TestClient } from './support/server.ts';
import { SlowClient } from './support/slow-clients.ts';
import { subscribeTo } from './support/subscribe.ts';

/** `SLOW_CLIENTS=4,40,400 SLOW_CLIENTS_ROWS=200000` asks for more. */
const COUNTS = (process.env['SLOW_CLIENTS'] ?? '4,40').split(',').map(Number);
const ROWS = Number(process.env['SLOW_CLIENTS_ROWS'] ?? 5000);
const CHANGES = 2000;
const ROUNDS = 6;
const MOST = 1.5;
/** While those who have just come are given what they do not read. */
const MOST_AT_FIRST = 3;

const SNAPSHOT = `subscription { changes(tables: ["users"], snapshot: true) {
  __typename ... on SnapshotRow { key user { username email firstName lastName } } ... on CaughtUp { cursor } ... on UserChange { key } } }`;
const RESUME = `subscription ($after: Cursor) { changes(tables: ["users"], after: $after) {
  __typename ... on CaughtUp { cursor } ... on UserChange { key user { username email firstName lastName } } } }`;

let databases: TestDatabases;
let server: OwnProcess;
let client: TestClient;
let cursor: string;

beforeAll(async () => {
  databases = await freshDatabases();
  await databases.primary`
    insert into users (username, email, first_name, last_name, password_hash)
    select 'u' || n, 'u' || n || '@example.com', 'first ' || n, 'last ' || n, '-' from generate_series(1, ${ROWS}::int) n`;
  const [replica] = databases.replicas;
  const arrived = async () => expect((await replica!`select count(*)::int from users`)[0]!['count']).toBe(ROWS);
  await vi.waitFor(arrived, { timeout: 60_000 });
  server = await ownProcess(databases.config, { FEED_WINDOW_CHANGES: '100' });
  await server.start();
  client = connectTo(server.url);
  const events = subscribeTo<any>(client.websocket(), RESUME);
  cursor = (await events.next()).changes.cursor;
  await databases.primary`update users set first_name = 'changed' where username in (select 'u' || n from generate_series(1, ${CHANGES}::int) n)`;
  for (let n = 0; n < CHANGES; n++) await events.next();
  await events.end();
}, 180_000);
afterAll(async () => {
  await client?.dispose();
  await server?.stop();
  await databases?.drop();
});

/** How long it takes until nothing is owed, and that all of it came. */
async function timed(query: string, variables: object, expected: number): Promise<number> {
  const socket = client.websocket();
  const started = performance.now();
  const events = subscribeTo<any>(socket, query, variables);
  let count = 0;
  while ((await events.next()).changes.__typename !== 'CaughtUp') count++;
  const ms = performance.now() - started;
  expect(count).toBe(expected);
  await socket.dispose();
  return ms;
}

describe('GUARANTEE a slow client slows nobody', () => {
  for (const count of COUNTS)
    test(`beside ${count} snapshot clients that read nothing, or a little now and then`, async () => {
      const [alone, atFirst, beside] = [new Best(), new Best(), new Best()];
      // In turn, and the best of each: what else the machine does counts for neither side.
      for (let round = 0; round < ROUNDS; round++) {
        await alone.measure();
        const first = round % 2 ? () => atFirst.measureResume() : () => atFirst.measureSnapshot();
        await besideSlow(count, first, () => beside.measure());
        if (round > 0 && beside.times(alone) <= MOST && atFirst.times(alone) <= MOST_AT_FIRST) break;
      }
      if (process.env['SLOW_CLIENTS'] !== undefined) console.log(count, 'slow clients', { alone, atFirst, beside });
      expect(beside.times(alone)).toBeLessThanOrEqual(MOST);
      expect(atFirst.times(alone)).toBeLessThanOrEqual(MOST_AT_FIRST);
    }, 600_000);
});

async function besideSlow(count: number, first: () => Promise<void>, later: () => Promise<void>): Promise<void> {
  const slow = Array.from({ length: count }, (_, n) => new SlowClient(server.url, SNAPSHOT, n % 2 ? 'little' : 'none'));
  try {
    await Promise.all(slow.map((client) => client.first));
    await first();
    await timed(SNAPSHOT, {}, ROWS); // by then they have been given it
    await later();
    expect(await openTransactions()).toBeLessThanOrEqual(2);
  } finally {
    for (const each of slow) each.stop();
  }
}

class Best {
  snapshot = Infinity;
  resume = Infinity;

  async measure(): Promise<void> {
    await this.measureSnapshot();
    await this.measureResume();
  }

  async measureSnapshot(): Promise<void> {
    this.snapshot = Math.min(this.snapshot, await timed(SNAPSHOT, {}, ROWS));
  }

  async measureResume(): Promise<void> {
    this.resume = Math.min(this.resume, await timed(RESUME, { after: cursor }, CHANGES));
  }

  /** As many times as long as the other. */
  times(other: Best): number {
    return Math.max(this.snapshot / other.snapshot, this.resume / other.resume);
  }
}

test('a snapshot that is read slowly is exact: every row once, then each change since', async () => {
  const copy = new Map<string, unknown>();
  const written: Promise<void>[] = [];
  const writes = Array.from({ length: 20 }, (_, n) => async () => {
    await databases.primary`update users set last_name = ${`slow ${n}`} where username like ${`u%${n}`}`;
    await databases.primary`delete from users where username = ${`u${ROWS - 50 * n}`}`;
    await databases.primary`insert into users (username, email, password_hash) values (${`n${n}`}, ${`n${n}@example.com`}, '-')`;
  });
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const query = `subscription { changes(tables: ["users"], snapshot: true) { __typename
    ... on SnapshotRow { key user { username lastName } }
    ... on UserChange { key before { username lastName } user { username lastName } } } }`;
  const ended = Promise.withResolvers<void>();
  const take = ({ __typename: type, key, before, user }: any) => {
    if (type === 'SnapshotRow') expect(copy.has(key)).toBe(false);
    if (type === 'UserChange') expect(before).toEqual(copy.get(key) ?? null);
    if (user) copy.set(key, user);
    else copy.delete(key);
    if (user?.username === 'last') ended.resolve();
  };
  socket.on('open', () => socket.send('{"type":"connection_init"}'));
  socket.on('message', (data) => {
    const { type, payload } = JSON.parse((data as Buffer).toString());
    if (type === 'connection_ack')
      return socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
    try {
      if (payload.data.changes.__typename !== 'CaughtUp') take(payload.data.changes);
    } catch (error) {
      ended.reject(error);
    }
    // Something is written each time that the client has read a little, until the snapshot is nearly over.
    const write = socket.isPaused ? undefined : writes.shift();
    if (!write) return undefined;
    socket.pause();
    written.push(write().then(() => socket.resume()));
    return undefined;
  });
  await expect.poll(() => written.length, { timeout: 60_000 }).toBe(20);
  await Promise.all(written);
  await databases.primary`insert into users (username, email, password_hash) values ('last', 'last@example.com', '-')`;
  await ended.promise;
  socket.terminate();
  const rows = await databases.primary`select id, username, last_name as "lastName" from users`;
  expect(new Map(rows.map(({ id, ...row }) => [id, row]))).toEqual(copy);
}, 120_000);

test('what is held for a snapshot has an end: the transaction is closed, and the client is told', async () => {
  const own = await startServer({ SNAPSHOT_MAX_MS: 2000 }, databases);
  onTestFinished(() => own.stop());
  const socket = new WebSocket(`${own.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  onTestFinished(() => socket.terminate());
  const first = Promise.withResolvers<void>();
  const error = Promise.withResolvers<unknown>();
  let isPaused = false;
  socket.on('open', () => socket.send('{"type":"connection_init"}'));
  socket.on('message', (data) => {
    const { type, payload } = JSON.parse((data as Buffer).toString());
    if (type === 'connection_ack')
      socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: SNAPSHOT } }));
    // At once: in another turn all of it may have been read.
    if (type === 'next' && !isPaused) {
      isPaused = true;
      socket.pause();
      first.resolve();
    }
    if (type === 'error') {
      first.reject(new Error(JSON.stringify(payload)));
      error.resolve(payload);
    }
  });
  await first.promise;
  await expect.poll(openTransactions).toBe(1);
  await expect.poll(openTransactions, { timeout: 5000 }).toBe(0);
  socket.resume();
  expect(await error.promise).toMatchObject([
    { extensions: { code: 'TIMEOUT' }, message: expect.stringContaining('SNAPSHOT_MAX_MS') },
  ]);
});

/** On the replica, for snapshots; be a statement under way in them or not. */
async function openTransactions(): Promise<number> {
  const [row] = await databases.replicas[0]!`
    select count(*)::int from pg_stat_activity
    where datname = current_database() and application_name like 'readback snapshots of %' and xact_start is not null`;
  return row!['count'] as number;
}
