import { setTimeout as sleep } from 'node:timers/promises';
import type { ISql } from 'postgres';
import { until } from '../../../infra/cluster/processes.ts';
import type { OwnCluster } from '../support/cluster.ts';
import type { TestDatabases } from '../support/databases.ts';
import { pauseWorker } from '../support/faults.ts';
import type { ResumingClient } from '../support/feed-clients.ts';
import type { Random } from '../support/history.ts';
import type { OwnProcess } from '../support/own-process.ts';
import { crash, endBackends, killWorker, killWorkerStopPrimaryKillReplica, killWorkerThenReplica } from './crashes.ts';
import type { Journal } from './journal.ts';
import { despiteOutages } from './outage.ts';
import { waitForReplicas } from './pace.ts';
import type { Progress } from './writers.ts';

export interface Targets {
  cluster: OwnCluster;
  databases: TestDatabases;
  server: OwnProcess;
  clients: ResumingClient[];
  /** The replica that clients were last told from, as an index; undefined: not known. */
  readFrom: () => number | undefined;
  progress: Progress;
  random: Random;
  journal: Journal;
}

interface Target {
  replica: TestDatabases['primary'];
  /** Of the replica. */
  name: string;
  other: TestDatabases['primary'];
  /** Between the two kills of a pair. */
  gapMs: number;
}

interface Kill {
  what: string;
  /** How many times it stands in each round. */
  times: number;
  /** Of the replica that the feed reads, rather than of any: clients must then go on from the other one. */
  isOfFeed?: boolean;
  run: (targets: Targets, target: Target) => Promise<unknown>;
}

const GAP_MS = 200;
/** More than the feed's window: clients then read the log. */
const INSIDE_ROWS = 500;
const TOLD_MS = 10_000;
/** In which the feed has moved to the other replica. */
const MOVING_MS = 200;

const KILLS: Kill[] = [
  { what: 'server', times: 1, run: ({ server }) => restart(server) },
  { what: 'replica', times: 1, run: async ({ cluster }, { name }) => (await crash(cluster, name))() },
  { what: 'listening connection', times: 1, run: (_, { replica }) => endBackends(replica, 'readback listener%') },
  { what: "reader's connection", times: 1, run: (_, { replica }) => endBackends(replica, 'readback feed%') },
  { what: 'apply worker', times: 1, run: (_, { replica }) => killWorker(replica) },
  { what: 'client', times: 1, run: async ({ clients, random }) => clients[any(clients.length, random)]!.kill() },
  {
    what: 'apply worker, then replica',
    times: 2,
    run: async ({ cluster }, { replica, name, gapMs }) =>
      (await killWorkerThenReplica(cluster, replica, name, gapMs))(),
  },
  { what: 'replica, then server', times: 2, isOfFeed: true, run: killReplicaThenServer },
  { what: 'replica, inside a transaction', times: 2, isOfFeed: true, run: killInsideTransaction },
  {
    what: 'apply worker, then primary, then replica',
    times: 1,
    run: async ({ cluster }, { replica, name, gapMs }) =>
      (await killWorkerStopPrimaryKillReplica(cluster, replica, name, gapMs))(),
  },
];

/** How many kills have each kind among them. */
export const ROUND = KILLS.reduce((sum, { times }) => sum + times, 0);

async function restart(server: OwnProcess): Promise<void> {
  await server.kill();
  await server.start();
}

/** The replica is back after the server: whoever comes to that is told from the other replica. */
async function killReplicaThenServer({ cluster, server }: Targets, { name, gapMs }: Target): Promise<void> {
  const start = await crash(cluster, name);
  await sleep(gapMs);
  await restart(server);
  await start();
}

/**
 * Clients are in the midst of a transaction that the other replica lacks, and that one alone; keepalives have told the
 * other one of more than what came before it. The feed moves there while that is so.
 */
async function killInsideTransaction(targets: Targets, { name, other }: Target): Promise<void> {
  const { cluster, databases, clients, progress, random } = targets;
  const { primary } = databases;
  const [before, marker] = ['before', 'inside'].map((what) => `${what}${Math.floor(random() * 1e9)}`) as [
    string,
    string,
  ];
  const isTold = (text: string) =>
    clients.some(({ told }) => told.slice(-INSIDE_ROWS).some((line) => line.endsWith(text)));
  // Where any of this takes too long, the replica is killed all the same.
  progress.held = true;
  await until(() => progress.busy === 0, TOLD_MS, 5);
  await despiteOutages(primary, () => addUsers(primary, 1, before));
  await until(() => isTold(before), TOLD_MS, 5);
  await despiteOutages(primary, () => waitForReplicas(primary, 0));
  let goOn = () => {};
  const insert = async (sql: ISql) => {
    await addUsers(sql, INSIDE_ROWS, marker);
    goOn = await pauseWorker(other);
  };
  await despiteOutages(primary, () => primary.begin(insert));
  await until(() => isTold(marker), TOLD_MS, 5);
  const start = await crash(cluster, name);
  progress.held = false;
  await sleep(MOVING_MS);
  goOn();
  await start();
}

const addUsers = (sql: ISql, rows: number, marker: string) => sql`
  insert into users (username, email, password_hash, first_name)
  select ${marker} || n, ${marker} || n || '@example.com', '-', ${marker} from generate_series(1, ${rows}::int) n`;

/** One kill after the other, all kinds in each round, in a drawn order. */
export class Killer {
  readonly counts: Record<string, number> = {};
  readonly #targets: Targets;
  #round: Kill[] = [];

  constructor(targets: Targets) {
    this.#targets = targets;
  }

  async kill(): Promise<void> {
    const { databases, random, journal } = this.#targets;
    if (this.#round.length === 0) this.#round = KILLS.flatMap((kind) => Array<Kill>(kind.times).fill(kind));
    const [kill] = this.#round.splice(any(this.#round.length, random), 1) as [Kill];
    const drawn = any(databases.replicas.length, random);
    const index = (kill.isOfFeed ? this.#targets.readFrom() : undefined) ?? drawn;
    const [replica, other] = [databases.replicas[index]!, databases.replicas[1 - index]!];
    const target = { replica, other, name: `replica-${index + 1}`, gapMs: random() * GAP_MS };
    this.counts[kill.what] = (this.counts[kill.what] ?? 0) + 1;
    journal.note(`kill: ${kill.what} (${target.name}, ${Math.round(target.gapMs)} ms)`);
    await kill.run(this.#targets, target);
    journal.note(`killed: ${kill.what}`);
  }
}

const any = (count: number, random: Random): number => Math.floor(random() * count);
