import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { logNames } from './checker/change-logs.ts';
import { compareAll } from './checker/compare.ts';
import { writeElsewhere } from './checker/elsewhere.ts';
import { tellFigures } from './checker/figures.ts';
import { Journal } from './checker/journal.ts';
import { Killer, ROUND } from './checker/kills.ts';
import { recordPrimary } from './checker/primary-history.ts';
import { logIndexOf, movesOf, shownCursor, toldTo, type LogNames } from './checker/cursors.ts';
import { newWriter, write } from './checker/writers.ts';
import type { TestDatabases } from './support/databases.ts';
import { ALL, ResumingClient } from './support/feed-clients.ts';
import { randomFrom } from './support/history.ts';
import { historyServers } from './support/history-servers.ts';
import { chosenModels, type Model } from './support/models.ts';
import { KEYS, otherKeys } from './support/other-keys.ts';
import { ownProcess } from './support/own-process.ts';
import { Results, STEPS, triedByChosen, VERSION } from './support/results.ts';

/** A longer run: FEED_CHANGES=2000000 FEED_KILLS=500. A run again: FEED_SEED=<the seed it printed>, FEED_FSYNC=<on or off>. By whom: ROLE_MODELS. */
const CHANGES = Number(process.env['FEED_CHANGES'] ?? 8_000);
const KILLS = Number(process.env['FEED_KILLS'] ?? 13);
const SEED = Number(process.env['FEED_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 3;
const CATCH_UP_MS = 180_000;

/** The defaults are a run without fsync, and a small one with it. */
const RUNS = [
  { fsync: 'off', changes: CHANGES, kills: KILLS },
  { fsync: 'on', changes: Math.ceil(CHANGES / 8), kills: Math.ceil(KILLS / 6) },
];
const chosen = process.env['FEED_FSYNC'];

const results = new Results();
/** The copy of the project, for all runs. */
let root: string | undefined;
const undos: (() => void)[] = [];
afterAll(() => undos.forEach((undo) => undo()));

for (const model of chosenModels())
  describe(`with ${model?.title ?? 'a superuser'}:`, () => {
    for (const run of chosen === undefined ? RUNS : [{ fsync: chosen, changes: CHANGES, kills: KILLS }]) {
      const { fsync, changes, kills } = run;
      test(
        `GUARANTEE each change once, in order: ${changes} changes, ${kills} kills, fsync ${fsync}`,
        { timeout: 300_000 + changes * 2 + kills * 5000 },
        async () => {
          const { differences, made, moves, copied, rows } = await play(run, model);
          expect(differences).toEqual([]);
          expect(made).toBeGreaterThan(changes * 0.8);
          // Who was told from one replica goes on with the other: what this is all about.
          if (kills >= ROUND) expect(Math.min(...moves)).toBeGreaterThan(0);
          expect(copied).toBe(rows);
          if (model) results.passed(STEPS.FEED_HISTORY, model.title, VERSION);
        },
      );
    }
  });

test('docs/managed.md has what passed with the chosen models', () => {
  const [published, wanted] = results.tables(triedByChosen(STEPS.FEED_HISTORY));
  expect(published).toBe(wanted);
});

/** Everything of a run: its servers are its own, and gone with it. */
async function start(fsync: string, model: Model | undefined) {
  const { cluster, databases } = await historyServers(model, fsync);
  onTestFinished(() => cluster.stop(), 60_000);
  root = await otherKeys(databases, (undo) => undos.push(undo), root);
  onTestFinished(() => databases.drop().catch(() => undefined), 60_000);
  for (const sql of [databases.primary, ...databases.replicas])
    await sql.unsafe(`alter database ${databases.name} reset log_statement`);
  // A small window: clients read the logs more often. These are compared in the end, so they keep all.
  const keep = { CHANGE_LOG_RETENTION_HOURS: '1000', CHANGE_LOG_MAX_BYTES: String(2 ** 40) };
  const server = await ownProcess(
    databases.config,
    { LOG_LEVEL: 'silent', FEED_WINDOW_CHANGES: '100', ...keep },
    undefined,
    root,
  );
  await server.start();
  onTestFinished(() => server.stop(), 60_000);
  return { cluster, databases, server };
}

type Run = Awaited<ReturnType<typeof start>>;

async function play({ fsync, changes, kills }: (typeof RUNS)[number], model: Model | undefined) {
  const run = await start(fsync, model);
  const { databases } = run;
  const journal = new Journal();
  const logs = await logNames(databases.replicas);
  await recordPrimary(databases.primary);
  const clients = await follow(run, journal, logs);
  const counts = await writeUnderKills(run, { clients, journal, logs }, changes, kills);
  const caughtUpMs = await untilTold(databases, clients);
  const told = clients.map((client, n) => toldTo(client, `client ${n}`, logs));
  const { changes: made, differences } = await compareAll(databases, journal, told);
  const moves = told.map(movesOf);
  const resumes = clients.map((client) => client.resumes);
  const whose = model && { model: model.title };
  tellFigures({ test: 'feed', ...whose, seed: SEED, fsync, changes: made, kills: counts, resumes, moves, caughtUpMs });
  return { differences, made, moves, copied: copyOf(clients[0]!.told).size, rows: await rowsOf(databases) };
}

interface Followed {
  clients: ResumingClient[];
  journal: Journal;
  logs: LogNames;
}

/** Resolves when every client is to be told of whatever happens from now on. */
async function follow({ server }: Run, journal: Journal, logs: LogNames): Promise<ResumingClient[]> {
  const numbers = Array.from({ length: CLIENTS }, (_, n) => n);
  const clients = numbers.map(
    (n) =>
      new ResumingClient(
        server.url,
        (what, cursor) => journal.note(`client ${n} ${what} ${shownCursor(cursor, logs)}`),
        ALL,
      ),
  );
  onTestFinished(() => clients.forEach((client) => client.stop()));
  await Promise.all(clients.map(({ ready }) => ready));
  return clients;
}

/** Resolves when all is written and everything that was killed is back; earlier where a client is told an error. */
async function writeUnderKills(run: Run, { clients, journal, logs }: Followed, changes: number, kills: number) {
  const { primary } = run.databases;
  const progress = { written: 0, due: 0, held: false, busy: 0, stopped: false };
  const stop = () => void (progress.stopped = true);
  onTestFinished(stop);
  const writers = await Promise.all([0, 1, 2, 3].map((n) => newWriter(primary, n, randomFrom(SEED + n))));
  const elsewhere = writeElsewhere(primary, randomFrom(SEED + 200), () => progress.stopped);
  const work = Promise.all([...writers.map((writer) => write(writer, progress)), elsewhere]);
  work.catch(stop); // awaited below: whatever is waited for meanwhile would not come
  const random = randomFrom(SEED + 100);
  const readFrom = () => logIndexOf(clients[0]!.cursor, logs);
  const killer = new Killer({ ...run, clients, readFrom, progress, random, journal });
  const isOver = () => progress.stopped || clients.some((client) => client.hasFailed);
  for (let killed = 0; killed < kills && !isOver(); killed++) {
    progress.due = ((killed + 1) * changes) / kills;
    const isTime = () => progress.written >= (killed * changes) / kills || isOver();
    await expect.poll(isTime, { timeout: 120_000, message: `${killed} kills of ${kills} were due` }).toBe(true);
    await sleep(random() * 200);
    await killer.kill();
  }
  const isEnough = () => progress.written >= changes || isOver();
  await expect.poll(isEnough, { timeout: 120_000, message: `${changes} changes were written` }).toBe(true);
  stop();
  await work;
  return killer.counts;
}

/** Of all clients and of the last change; those that are not told it by then lack it in the comparison. */
async function untilTold({ primary }: TestDatabases, clients: ResumingClient[]): Promise<number> {
  await primary`insert into users (username, email, password_hash, first_name) values ('the-end', 'the-end@example.com', '-', 'the end')`;
  const ended = performance.now();
  const reached = Promise.all(clients.map((client) => client.reached('the end')));
  await Promise.race([reached, sleep(CATCH_UP_MS, undefined, { ref: false })]);
  return Math.round(performance.now() - ended);
}

async function rowsOf({ primary }: TestDatabases): Promise<number> {
  const counts = Object.keys(KEYS).map((table) => primary`select count(*)::int as rows from ${primary(table)}`);
  return (await Promise.all(counts)).reduce((sum, [row]) => sum + row!['rows'], 0);
}

/** The keys in a copy that is kept by what was told. */
function copyOf(told: string[]): Set<string> {
  const keys = new Set<string>();
  for (const change of told) {
    const [operation, key] = change.split(' ') as [string, string];
    if (operation === 'DELETE') keys.delete(key);
    else keys.add(key);
  }
  return keys;
}
