import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareAll } from './checker/compare.ts';
import { crash, killWorkerStopPrimaryKillReplica, killWorkerThenReplica, type Undo } from './checker/crashes.ts';
import { writeElsewhere } from './checker/elsewhere.ts';
import { tellFigures } from './checker/figures.ts';
import { Journal } from './checker/journal.ts';
import { recordPrimary } from './checker/primary-history.ts';
import type { OwnCluster } from './support/cluster.ts';
import type { TestDatabases } from './support/databases.ts';
import { cutOff, disableSubscription, holdApply, pauseWorker } from './support/faults.ts';
import { randomFrom, runHistory, type Random, type RegisterOf } from './support/history.ts';
import { historyServers } from './support/history-servers.ts';
import { chosenModels, type Model } from './support/models.ts';
import { otherKeys } from './support/other-keys.ts';
import { ownProcess, type OwnProcess } from './support/own-process.ts';
import { Results, STEPS, triedByChosen, VERSION } from './support/results.ts';
import { connectTo, type TestClient } from './support/server.ts';

/** A longer run: HISTORY_OPERATIONS=500000 npm run test:history. A run again: HISTORY_SEED=<the seed it printed>, HISTORY_FSYNC=<on or off>. By whom: ROLE_MODELS. */
const OPERATIONS = Number(process.env['HISTORY_OPERATIONS'] ?? 6_000);
const SEED = Number(process.env['HISTORY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const FSYNC = process.env['HISTORY_FSYNC'] ?? 'off';
const CLIENTS = 12;
const GAP_MS = 200;

let cluster: OwnCluster;
let databases: TestDatabases;
let serving: OwnProcess;
let server: TestClient;

const SETTINGS = {
  LOG_LEVEL: 'silent',
  BOOKMARK_WAIT_MS: '200',
  MONITOR_INTERVAL_MS: '100',
  REPLICA_MAX_LAG_MS: '1000',
  PRIMARY_READS_MAX: '20',
  CHANGE_LOG_RETENTION_HOURS: '1000',
  CHANGE_LOG_MAX_BYTES: String(2 ** 40),
};

const results = new Results();
/** The copy of the project, for all models. */
let root: string | undefined;
const undos: (() => void)[] = [];
afterAll(() => undos.forEach((undo) => undo()));

for (const model of chosenModels())
  describe(`with ${model?.title ?? 'a superuser'}:`, () => {
    beforeAll(async () => {
      ({ cluster, databases } = await historyServers(model, FSYNC));
      root = await otherKeys(databases, (undo) => undos.push(undo), root);
      serving = await ownProcess(databases.config, SETTINGS, undefined, root);
      await serving.start();
      server = connectTo(serving.url);
    }, 180_000);
    afterAll(async () => {
      await server?.dispose();
      await serving?.stop();
      await databases?.drop().catch(() => undefined);
      await cluster.stop();
    });

    test(
      `GUARANTEE reads know writes: ${OPERATIONS} operations under faults, none in violation`,
      { timeout: 60_000 + OPERATIONS * 20 },
      async () => {
        expect.hasAssertions();
        await expectNoViolation(model);
        if (model) results.passed(STEPS.HISTORY, model.title, VERSION);
      },
    );

    test('a position that is believed too early is found', { timeout: 120_000 }, expectFound);
  });

test('docs/managed.md has what passed with the chosen models', () => {
  const [published, wanted] = results.tables(triedByChosen(STEPS.HISTORY));
  expect(published).toBe(wanted);
});

/** As many of each kind of key. */
async function newRegisters(): Promise<RegisterOf[]> {
  const { primary } = databases;
  const prefix = crypto.randomUUID().slice(0, 8);
  const count = CLIENTS / 4;
  const users = await primary`
    insert into users (username, email, password_hash) select ${prefix} || n, ${prefix} || n || '@example.com', '-' from generate_series(1, ${count}) n returning id::text as id`;
  const counters = await primary`
    insert into counters (marker) select '0' from generate_series(1, ${count}) returning id::text as id`;
  const pairs = await primary`
    insert into pairs select n, ${prefix}, '0' from generate_series(1, ${count}) n
    returning array_to_json(array[left_id::text, right_id])::text as id`;
  const first = Math.floor(Math.random() * 2 ** 30);
  const shards = await primary`
    insert into shards select ${first}::int + n, date '2025-12-30' + n, '0' from generate_series(1, ${count}) n
    returning array_to_json(array[id::text, day::text])::text as id`;
  await server.query('{ users(first: 1) { nodes { id } } }', {}, { 'readback-consistency': 'strong' });
  return Object.entries({ users, counters, pairs, shards }).flatMap(([table, rows]) =>
    rows.map((row) => ({ table, id: row['id'] }) as RegisterOf),
  );
}

/** Kinds of faults on one replica; what each returns undoes it. */
const FAULTS: Record<string, (replica: TestDatabases['primary'], name: string, gapMs: number) => Promise<Undo>> = {
  'apply held back': holdApply,
  'worker paused': async (replica) => asUndo(await pauseWorker(replica)),
  'subscription disabled': disableSubscription,
  'cut off': async (replica) => asUndo(await cutOff(databases.primary, replica)),
  killed: (_, name) => crash(cluster, name),
  'worker, then replica killed': (replica, name, gapMs) => killWorkerThenReplica(cluster, replica, name, gapMs),
};
const RARE = {
  'worker killed, primary stopped, replica killed': (replica: TestDatabases['primary'], name: string, gapMs: number) =>
    killWorkerStopPrimaryKillReplica(cluster, replica, name, gapMs),
};

const asUndo =
  (undo: () => void): Undo =>
  async () =>
    undo();

async function plantFault(random: Random, counts: Record<string, number>, journal: Journal): Promise<Undo> {
  const index = random() < 0.5 ? 0 : 1;
  const kinds = Object.entries(random() < 0.05 ? RARE : FAULTS);
  const [kind, plant] = kinds[Math.floor(random() * kinds.length)]!;
  const [name, gapMs] = [`replica-${index + 1}`, random() * GAP_MS];
  counts[kind] = (counts[kind] ?? 0) + 1;
  journal.note(`fault: ${kind} (${name}, ${Math.round(gapMs)} ms)`);
  return plant(databases.replicas[index]!, name, gapMs);
}

async function keepFailing(random: Random, stopped: () => boolean, journal: Journal): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  while (!stopped()) {
    const undo = await plantFault(random, counts, journal);
    await sleep(50 + random() * 700);
    await undo();
    journal.note('undone');
    await sleep(random() * 300);
  }
  return counts;
}

async function expectNoViolation(model: Model | undefined): Promise<void> {
  const [started, journal] = [performance.now(), new Journal()];
  await recordPrimary(databases.primary);
  let done = false;
  const registers = await newRegisters();
  const faults = keepFailing(randomFrom(SEED + 1), () => done, journal);
  const elsewhere = writeElsewhere(databases.primary, randomFrom(SEED + 2), () => done);
  const outcome = await runHistory(server, registers, OPERATIONS, randomFrom(SEED)).finally(() => (done = true));
  const kills = await faults;
  await elsewhere;
  const { changes, differences } = await compareAll(databases, journal);
  const seconds = Math.round((performance.now() - started) / 1000);
  const run = { test: 'history', ...(model && { model: model.title }), seed: SEED, fsync: FSYNC };
  tellFigures({ ...run, ...outcome, kills, changes, seconds });
  if (outcome.violations.length > 0) console.log(journal.around(undefined).join('\n'));
  expect(outcome.violations).toEqual([]);
  expect(differences).toEqual([]);
  expect(
    Object.keys(outcome.refused).filter(
      (code) => !['REPLICA_UNAVAILABLE', 'PRIMARY_UNAVAILABLE', 'TIMEOUT'].includes(code),
    ),
  ).toEqual([]);
  expect(outcome.sources['replica-1']).toBeGreaterThan(OPERATIONS / 10);
  expect(outcome.sources['replica-2']).toBeGreaterThan(OPERATIONS / 10);
}

async function expectFound(): Promise<void> {
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
}

/** Ahead by about the write-ahead log of two updates. */
async function believeTooEarly(replica: TestDatabases['primary']): Promise<void> {
  const [{ definition }] = (await replica`select pg_get_functiondef('readback.position'::regproc) as definition`) as [
    { definition: string },
  ];
  const planted = definition.replace(/applied := case .* end;/, 'applied := greatest(progress, keepalive) + 1000;');
  expect(planted).not.toBe(definition);
  await replica.unsafe(planted);
}
