import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { disableSubscription, holdApply, restartWorker } from './support/faults.ts';
import { ResumingClient } from './support/feed-clients.ts';
import { ownProcess, type OwnProcess } from './support/own-process.ts';
import { open } from './support/raw.ts';
import { connectTo, type TestClient } from './support/server.ts';
import { SlowClient } from './support/slow-clients.ts';

/** LEVEL_MINUTES=60 npm test -- server/test/level.test.ts: a line each minute, and the figures at the end. */
const RUN_MS = Number(process.env['LEVEL_MINUTES'] ?? 0.3) * 60_000;
const SAMPLE_MS = Math.max(500, RUN_MS / 240);
const FAULT_MS = Math.min(15_000, RUN_MS / 6);
const SUBSCRIBERS = 10;

/** What one moment showed. */
interface Level {
  /** MB. */
  memory: number;
  descriptors: number;
  /** Of the server, on all databases. */
  connections: number;
  slots: number;
  /** WAL that the slots keep, MB. */
  held: number;
}

let databases: TestDatabases;
let server: OwnProcess;
let client: TestClient;
let isOver = false;
let [asked, failed] = [0, 0];

beforeAll(async () => {
  databases = await freshDatabases({ replicas: 2 });
  server = await ownProcess(databases.config, { CHANGE_LOG_MAX_BYTES: '20000000' });
  await server.start();
  client = connectTo(server.url);
});
afterAll(async () => {
  isOver = true;
  await client?.dispose();
  await server?.stop();
  await databases?.drop();
});

async function look(): Promise<Level> {
  const { primary, replicas } = databases;
  const status = readFileSync(`/proc/${server.pid()}/status`, 'utf8');
  const connections = await Promise.all(
    [primary, ...replicas].map(async (sql) => {
      const [row] = await sql<[{ count: number }]>`
        select count(*)::int from pg_stat_activity where datname = current_database() and application_name like 'readback%'`;
      return row.count;
    }),
  );
  const [slots] = await primary<[{ count: number; held: number }]>`
    select count(*)::int, coalesce(max(pg_current_wal_lsn() - restart_lsn), 0)::float8 / 1e6 as held
    from pg_replication_slots where database = current_database()`;
  return {
    memory: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024,
    descriptors: readdirSync(`/proc/${server.pid()}/fd`).length,
    connections: connections.reduce((sum, count) => sum + count, 0),
    slots: slots.count,
    held: slots.held,
  };
}

const DOCUMENTS = [
  '{ users(first: 20) { totalCount nodes { id username posts(first: 5) { nodes { title author { username } } } } } }',
  '{ posts(filter: { search: "n" }, orderBy: { field: TITLE, direction: ASC }) { nodes { id } pageInfo { endCursor } } }',
  'query ($n: Int = 3) { users(first: $n) { edges { cursor node { id } } } }',
  '{ users(first: 1000) { nodes { id } } }',
  '{ nothing { there } }',
  '{ users {',
];

let serial = 0;
const fresh = () => `level-${++serial}`;

async function ask(document: string, variables: object = {}, headers: Record<string, string> = {}): Promise<any> {
  asked++;
  try {
    const { data } = await client.query<any, object>(document, variables, headers);
    return data;
  } catch {
    failed++; // refused at the door, as some faults have it
    return null;
  }
}

async function write(): Promise<void> {
  const input = { username: fresh(), email: `${fresh()}@example.com`, password: 'correct horse' };
  const made = await ask('mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } bookmark } }', {
    input,
  });
  const id = made?.createUser?.user.id as string | undefined;
  if (id === undefined) return;
  await ask(
    'mutation ($input: CreatePostInput!) { createPost(input: $input, confirm: REPLICATED) { bookmark } }',
    { input: { authorId: id, title: fresh(), body: 'x'.repeat(500) } },
    { 'readback-bookmark': made.createUser.bookmark },
  );
  if (serial % 3 > 0) await ask('mutation ($id: ID!) { deleteUser(id: $id) { bookmark } }', { id });
}

/** Each of these goes on until all is over. */
const activities: (() => Promise<unknown>)[] = [
  () => ask(DOCUMENTS[Math.floor(Math.random() * DOCUMENTS.length)]!),
  () => ask('{ users { totalCount } }', {}, { 'readback-consistency': 'strong' }),
  write,
  async () => {
    const socket = await open(server.url, 'POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{');
    await sleep(300);
    socket.resetAndDestroy();
  },
  async () => {
    const slow = new SlowClient(server.url, 'subscription { changes(snapshot: true) { __typename } }', 'none');
    await sleep(1000);
    slow.stop();
  },
];

async function busy(activity: () => Promise<unknown>): Promise<void> {
  while (!isOver) {
    await activity();
    await sleep(50 + Math.random() * 100);
  }
}

const faults: (() => Promise<unknown>)[] = [
  () => restartWorker(databases.replicas[0]!),
  async () => {
    const enable = await disableSubscription(databases.replicas[1]!);
    await sleep(2000);
    await enable();
  },
  async () => {
    const release = await holdApply(databases.replicas[0]!);
    await sleep(2000);
    await release();
  },
  ...[0, 1, 2].map((index) => async () => {
    const sql = [databases.primary, ...databases.replicas][index]!;
    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name like 'readback%'`;
  }),
];

async function faultAfterFault(): Promise<void> {
  for (let n = 0; !isOver; n++) {
    await sleep(FAULT_MS);
    if (!isOver) await faults[n % faults.length]!();
  }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

const mediansOf = (levels: Level[]) =>
  Object.fromEntries(
    (Object.keys(levels[0]!) as (keyof Level)[]).map((name) => [name, median(levels.map((level) => level[name]))]),
  ) as unknown as Level;

test('under mixed load and faults all that a server holds stays level', { timeout: RUN_MS + 120_000 }, async () => {
  const subscribers = Array.from({ length: SUBSCRIBERS }, () => new ResumingClient(server.url));
  const dropSome = async () => subscribers[Math.floor(Math.random() * SUBSCRIBERS)]!.kill();
  const all = [...activities, dropSome].map(busy).concat(faultAfterFault());
  const levels: Level[] = [];
  for (const until = performance.now() + RUN_MS; performance.now() < until;) {
    await sleep(SAMPLE_MS);
    levels.push(await look());
    if (levels.length % Math.ceil(60_000 / SAMPLE_MS) === 0) console.log(JSON.stringify(levels.at(-1)));
  }
  isOver = true;
  await Promise.all(all);
  for (const subscriber of subscribers) subscriber.stop();
  const half = Math.floor(levels.length / 2);
  const [early, late] = [mediansOf(levels.slice(half / 2, half)), mediansOf(levels.slice(-half / 2))];
  console.log(JSON.stringify({ asked, failed, changes: subscribers[0]!.told.length, early, late }));
  expect(subscribers.filter(({ hasFailed }) => hasFailed)).toEqual([]);
  expect(failed).toBeLessThan(asked / 10);
  expect(late.memory).toBeLessThan(early.memory * 1.3 + 60);
  expect(Math.abs(late.descriptors - early.descriptors)).toBeLessThan(15);
  expect(Math.abs(late.connections - early.connections)).toBeLessThan(15);
  expect([late.slots, late.held < 100]).toEqual([2, true]);
  expect((await client.query('{ users { totalCount } }')).errors).toEqual([]);
});
