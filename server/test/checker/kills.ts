import { setTimeout as sleep } from 'node:timers/promises';
import type { OwnCluster } from '../cluster.ts';
import type { TestDatabases } from '../databases.ts';
import type { ResumingClient } from '../feed-clients.ts';
import type { Random } from '../history.ts';
import type { OwnProcess } from '../own-process.ts';
import { crash, endBackends, killWorker, killWorkerStopPrimaryKillReplica, killWorkerThenReplica } from './crashes.ts';
import type { Journal } from './journal.ts';

export interface Targets {
  cluster: OwnCluster;
  databases: TestDatabases;
  server: OwnProcess;
  clients: ResumingClient[];
  /** The replica that clients were last told from, as an index; undefined: not known. */
  readFrom: () => number | undefined;
  random: Random;
  journal: Journal;
}

interface Target {
  replica: TestDatabases['primary'];
  /** Of the replica. */
  name: string;
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
    const target = { replica: databases.replicas[index]!, name: `replica-${index + 1}`, gapMs: random() * GAP_MS };
    this.counts[kill.what] = (this.counts[kill.what] ?? 0) + 1;
    journal.note(`kill: ${kill.what} (${target.name}, ${Math.round(target.gapMs)} ms)`);
    await kill.run(this.#targets, target);
    journal.note(`killed: ${kill.what}`);
  }
}

const any = (count: number, random: Random): number => Math.floor(random() * count);
