import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type OwnCluster } from './cluster.ts';
import { freshDatabases, type TestDatabases } from './databases.ts';
import { killServer } from './faults.ts';
import { ResumingClient, type Told } from './feed-clients.ts';
import { randomFrom, type Random } from './history.ts';
import { ownProcess, type OwnProcess } from './own-process.ts';

/** A longer run: FEED_CHANGES=2000000 FEED_KILLS=500. A run again: FEED_SEED=<the seed it printed>. */
const CHANGES = Number(process.env['FEED_CHANGES'] ?? 200_000);
const KILLS = Number(process.env['FEED_KILLS'] ?? 20);
const SEED = Number(process.env['FEED_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const WRITERS = 4;
const CLIENTS = 3;

let cluster: OwnCluster;
let databases: TestDatabases;
let server: OwnProcess;
let clients: ResumingClient[] = [];

beforeAll(async () => {
  cluster = await startCluster();
  databases = await freshDatabases({ replicas: 2, cluster });
  await databases.primary.unsafe(`alter database ${databases.name} reset log_statement`);
  for (const replica of databases.replicas)
    await replica.unsafe(`alter database ${databases.name} reset log_statement`);
  server = await ownProcess(databases.config, { LOG_LEVEL: 'silent', FEED_WINDOW_CHANGES: '1000' });
  await server.start();
});
afterAll(async () => {
  for (const client of clients) client.stop();
  await server.stop();
  await databases.drop().catch(() => undefined);
  await cluster.stop();
});

/** What really happened, by the primary's own log: its changes in the order of their commits. */
async function primaryHistory(): Promise<Told[]> {
  const rows =
    await databases.primary`select data from pg_logical_slot_get_changes('truth', null, null) where data like 'table public.users: %'`;
  return rows.map(({ data }) => {
    const [, operation, columns] = /^table public\.users: (INSERT|UPDATE|DELETE): (.*)$/s.exec(data)!;
    const key = /(?:^| )id\[uuid\]:'([^']+)'/.exec(columns!)![1];
    const marker = /first_name\[character varying\]:'([^']*)'/.exec(columns!)?.[1] ?? '';
    return `${operation} ${key} ${marker}`;
  });
}

interface Progress {
  written: number;
}

/** Single rows, big transactions, deletes and re-inserts of one key, updates that change nothing. */
async function write(sql: postgres.Sql, writer: number, random: Random, progress: Progress): Promise<void> {
  const prefix = `w${writer}-`;
  const add = (first: number, count: number, marker: string) => sql`
    insert into users (username, email, password_hash, first_name)
    select ${prefix} || n, ${prefix} || n || '@example.com', '-', ${marker} || n
    from generate_series(${first}::int, ${first + count - 1}::int) n`;
  const set = (marker: string, from: number, to: number) => sql`
    update users set first_name = ${marker}
    where username in (select ${prefix} || n from generate_series(${from}::int, ${to}::int) n)`;
  let rows = 2000;
  progress.written += rows;
  await add(0, rows, 'first-');
  for (let step = 0; progress.written < CHANGES; step++) {
    const at = Math.floor(random() * rows);
    const kinds: [number, number, () => Promise<unknown>][] = [
      [0.3, 1, () => set(`s${step}`, at, at)],
      [0.4, 1, () => sql`update users set first_name = first_name where username = ${`${prefix}${at}`}`],
      [0.5, 1, () => add(rows++, 1, `n${step}-`)],
      [0.6, 2, () => replaceRow(sql, `${prefix}${at}`, `r${step}`)],
      [0.97, 200, () => set(`b${step}`, at, at + 199)],
      [1, 2000, () => set(`B${step}`, 0, 1999)],
    ];
    const dice = random();
    const [, changes, run] = kinds.find(([below]) => dice < below)!;
    progress.written += changes;
    await run();
  }
}

/** One key deleted and inserted again, in one transaction. */
async function replaceRow(sql: postgres.Sql, username: string, marker: string): Promise<void> {
  await sql.begin(async (transaction) => {
    const [row] = await transaction`delete from users where username = ${username} returning id`;
    if (row)
      await transaction`insert into users (id, username, email, password_hash, first_name) values (${row['id']}, ${username}, ${`${username}@example.com`}, '-', ${marker})`;
  });
}

async function crash(name: string): Promise<void> {
  await killServer(cluster, name);
  await cluster.control.startServer(name);
}

/** The test's own connection may be one that the last crash broke: then once more. */
async function endBackends(replica: postgres.Sql, which: string): Promise<void> {
  const end = () => replica`
    select pg_terminate_backend(pid) from pg_stat_activity where application_name like ${which} or backend_type like ${which}`;
  await expect
    .poll(
      () =>
        end().then(
          () => true,
          () => false,
        ),
      { timeout: 10_000 },
    )
    .toBe(true);
}

async function restart(): Promise<void> {
  await server.kill();
  await server.start();
}

/** One kill; which replica is drawn, too. */
async function kill(random: Random, counts: Record<string, number>): Promise<void> {
  const index = random() < 0.5 ? 0 : 1;
  const replica = databases.replicas[index]!;
  const kills: [string, () => Promise<unknown>][] = [
    ['server', restart],
    ['replica', () => crash(`replica-${index + 1}`)],
    ['listening connection', () => endBackends(replica, 'readback listener%')],
    ["reader's connection", () => endBackends(replica, 'readback feed%')],
    ['apply worker', () => endBackends(replica, 'logical replication apply worker')],
    ['client', async () => clients[Math.floor(random() * clients.length)]!.kill()],
  ];
  const [name, run] = kills[Math.floor(random() * kills.length)]!;
  counts[name] = (counts[name] ?? 0) + 1;
  await run();
}

test(
  `GUARANTEE each change once, in commit order, none missing: ${CHANGES} changes, ${KILLS} kills`,
  { timeout: 240_000 + CHANGES * 2, retry: 0 },
  async () => {
    await databases.primary`select pg_create_logical_replication_slot('truth', 'test_decoding')`;
    clients = Array.from({ length: CLIENTS }, () => new ResumingClient(server.url));
    await Promise.all(clients.map(({ ready }) => ready));
    const progress = { written: 0 };
    const writers = Array.from({ length: WRITERS }, (_, writer) =>
      write(databases.primary, writer, randomFrom(SEED + writer), progress),
    );
    const counts: Record<string, number> = {};
    const random = randomFrom(SEED + 100);
    for (let killed = 0; killed < KILLS; killed++) {
      await expect.poll(() => progress.written >= (killed * CHANGES) / KILLS, { timeout: 120_000 }).toBe(true);
      await sleep(random() * 200);
      await kill(random, counts);
    }
    await Promise.all(writers);
    await databases.primary`insert into users (username, email, password_hash, first_name) values ('the-end', 'the-end@example.com', '-', 'the end')`;
    const ended = performance.now();
    await Promise.all(clients.map((client) => client.reached('the end')));
    const truth = await primaryHistory();
    console.log(`seed ${SEED}`, {
      changes: truth.length,
      kills: counts,
      resumes: clients.map(({ resumes }) => resumes),
      caughtUpMs: Math.round(performance.now() - ended),
    });
    expect(clients.map(({ told }) => firstDifference(told, truth))).toEqual(clients.map(() => undefined));
    expect(truth.length).toBeGreaterThan(CHANGES * 0.9);
    const [{ count }] = await databases.primary<[{ count: number }]>`select count(*)::int from users`;
    for (const replica of databases.replicas)
      await expect.poll(() => replica`select count(*)::int from users`, { timeout: 60_000 }).toEqual([{ count }]);
    expect(mirror(clients[0]!.told).size).toBe(count);
  },
);

/** Readable, where a difference of 200,000 lines is not. */
function firstDifference(told: Told[], truth: Told[]): object | undefined {
  const at = truth.findIndex((change, index) => told[index] !== change);
  const index = at === -1 && told.length > truth.length ? truth.length : at;
  if (index === -1) return undefined;
  const [toldThere, truthThere] = [told, truth].map((changes) => changes.slice(index - 2, index + 4));
  // -1: never.
  const [toldAt, trueAt] = [told.indexOf(truth[index]!), truth.indexOf(told[index]!)];
  return { index, of: [told.length, truth.length], told: toldThere, truth: truthThere, toldAt, trueAt };
}

function mirror(told: Told[]): Map<string, string> {
  const rows = new Map<string, string>();
  for (const change of told) {
    const [operation, key, marker] = change.split(' ') as [string, string, string];
    if (operation === 'DELETE') rows.delete(key);
    else rows.set(key, marker);
  }
  return rows;
}
