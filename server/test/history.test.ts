import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type OwnCluster } from './cluster.ts';
import { freshDatabases, type TestDatabases } from './databases.ts';
import { cutOff, disableSubscription, holdApply, killServer, pauseWorker } from './faults.ts';
import { randomFrom, runHistory, type Random } from './history.ts';
import { startServer, type TestServer } from './server.ts';

/** A longer run: HISTORY_OPERATIONS=500000 npm run test:history. A run again: HISTORY_SEED=<the seed it printed>. */
const OPERATIONS = Number(process.env['HISTORY_OPERATIONS'] ?? 20_000);
const SEED = Number(process.env['HISTORY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 12;

let cluster: OwnCluster;
let databases: TestDatabases;
let server: TestServer;

beforeAll(async () => {
  cluster = await startCluster();
  databases = await freshDatabases({ replicas: 2, cluster });
  server = await startServer(
    { BOOKMARK_WAIT_MS: 200, MONITOR_INTERVAL_MS: 100, REPLICA_MAX_LAG_MS: 1000, PRIMARY_READS_MAX: 20 },
    databases,
  );
});
afterAll(async () => {
  await server.stop();
  await databases.drop().catch(() => undefined);
  await cluster.stop();
});

async function newRegisters(): Promise<string[]> {
  const prefix = crypto.randomUUID().slice(0, 8);
  const rows = await databases.primary`
    insert into users (username, email, password_hash) select ${prefix} || n, ${prefix} || n || '@example.com', '-' from generate_series(1, ${CLIENTS}) n returning id`;
  await server.query('{ users(first: 1) { nodes { id } } }', {}, { 'readback-consistency': 'strong' });
  return rows.map((row) => row['id']);
}

/** Kills the replica as a crash of its machine would, and starts it again. */
async function crash(name: string): Promise<() => Promise<void>> {
  await killServer(cluster, name);
  return () => cluster.control.startServer(name);
}

type Undo = () => unknown;

/** One fault on one replica; what it returns undoes it. */
async function plantFault(random: Random, counts: Record<string, number>): Promise<Undo> {
  const index = random() < 0.5 ? 0 : 1;
  const replica = databases.replicas[index]!;
  const faults: [string, () => Promise<Undo>][] = [
    ['apply held back', () => holdApply(replica)],
    ['worker paused', () => pauseWorker(replica)],
    ['subscription disabled', () => disableSubscription(replica)],
    ['cut off', () => cutOff(databases.primary, replica)],
    ['killed', () => crash(`replica-${index + 1}`)],
  ];
  const [name, plant] = faults[Math.floor(random() * faults.length)]!;
  counts[name] = (counts[name] ?? 0) + 1;
  return plant();
}

async function keepFailing(random: Random, stopped: () => boolean): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  while (!stopped()) {
    const undo = await plantFault(random, counts);
    await sleep(50 + random() * 700);
    await undo();
    await sleep(random() * 300);
  }
  return counts;
}

test(
  `GUARANTEE read-your-writes, monotonic reads, strong reads: ${OPERATIONS} operations under faults, none in violation`,
  { timeout: 30_000 + OPERATIONS * 20, retry: 0 },
  async () => {
    let done = false;
    const faults = keepFailing(randomFrom(SEED + 1), () => done);
    const outcome = await runHistory(server, await newRegisters(), OPERATIONS, randomFrom(SEED)).finally(
      () => (done = true),
    );
    console.log(`seed ${SEED}`, { ...outcome, faults: await faults });
    expect(outcome.violations).toEqual([]);
    expect(
      Object.keys(outcome.refused).filter(
        (code) => !['REPLICA_UNAVAILABLE', 'PRIMARY_UNAVAILABLE', 'TIMEOUT'].includes(code),
      ),
    ).toEqual([]);
    expect(outcome.sources['replica-1']).toBeGreaterThan(OPERATIONS / 10);
    expect(outcome.sources['replica-2']).toBeGreaterThan(OPERATIONS / 10);
  },
);

test('a position that is believed too early is found', { timeout: 120_000 }, async () => {
  await expect
    .poll(async () => (await server.rest('GET', '/health')).body.message, { timeout: 60_000 })
    .toMatch(/^Both/);
  for (const replica of databases.replicas) await believeTooEarly(replica);
  let done = false;
  const faults = (async () => {
    while (!done) {
      const undo = await Promise.all(databases.replicas.map(holdApply));
      await sleep(50);
      for (const release of undo) await release();
    }
  })();
  const outcome = await runHistory(server, await newRegisters(), 1500, randomFrom(SEED)).finally(() => (done = true));
  await faults;
  expect(outcome.violations.length).toBeGreaterThan(0);
});

/** Ahead by about the write-ahead log of two updates. */
async function believeTooEarly(replica: TestDatabases['primary']): Promise<void> {
  const [{ definition }] = (await replica`select pg_get_functiondef('readback.position'::regproc) as definition`) as [
    { definition: string },
  ];
  const planted = definition.replace(/applied := case .* end;/, 'applied := greatest(progress, keepalive) + 1000;');
  expect(planted).not.toBe(definition);
  await replica.unsafe(planted);
}
