import type { Sql } from '../database/connect.ts';
import type { Complain } from '../lib/complaints.ts';
import { ClientError } from '../lib/errors.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Primary } from '../replication/primary.ts';
import type { Replica } from '../replication/replica.ts';
import type { ReplicaState } from '../replication/state.ts';

/** Why the primary, or a replica that is not well, answered a read. A closed list, told to clients. */
export type Fallback =
  'no replica is well' | 'no replica was there in time' | 'the primary is away' | 'the replicas hold other rows';

/** Where one request reads. Released when the request has ended. */
export interface Place {
  name: string;
  sql: Sql;
  waitedMs: number;
  fallback?: Fallback;
  /** The server broke while it was read from. Resolves when that counts in the next choice. */
  failed: (error: unknown) => void | Promise<void>;
  release: () => void;
}

/** What became of a wait for a write to be applied. */
export interface Confirmed {
  level: 'COMMITTED' | 'REPLICATED';
  replica: string | null;
  waitedMs: number;
}

export interface RouterOptions {
  /** How long a read, or who has written, waits for a replica to reach its position. */
  bookmarkWaitMs: number;
  /** A wait this long is helped along by a heartbeat. */
  stallMs: number;
  /** Requests that read from the primary at once. */
  primaryReadsMax: number;
  /** Replicas hold other rows of the table than the primary: see docs/tables.md, partitions. */
  holdsOthers: (table: string) => boolean;
  complain: Complain;
}

const NO_BEAT = 'The heartbeat that helps a waiting read along could not be written on the primary.';

/** Chooses the server that answers a request's reads, and waits for replicas. */
export class Router {
  readonly #primary: Primary;
  readonly #replicas: readonly Replica[];
  readonly #options: RouterOptions;
  #primaryReads = 0;

  constructor(primary: Primary, replicas: readonly Replica[], options: RouterOptions) {
    this.#primary = primary;
    this.#replicas = replicas;
    this.#options = options;
  }

  /** Some replica is known to have applied that: nobody waits for it in vain. */
  isApplied(lsn: Lsn): boolean {
    return this.#replicas.some((replica) => replica.hasApplied(lsn));
  }

  holdsOthers(table: string): boolean {
    return this.#options.holdsOthers(table);
  }

  /** For what no replica has, within its budget. @throws ClientError REPLICA_UNAVAILABLE */
  primary(): Place {
    if (this.#primary.reachable) return this.#onPrimary('the replicas hold other rows', 0);
    throw new ClientError(
      'REPLICA_UNAVAILABLE',
      'The replicas hold other rows of this table, and the primary cannot be reached: try again soon.',
    );
  }

  /** Any replica, at once. */
  any(): Place {
    const replica = chooseAny(this.#replicas);
    return replica ? onReplica(replica, 0) : this.#withoutReplica(null, 'no replica is well', 0);
  }

  /**
   * A replica that has applied `required` (null: any that is well); else the first that will, within the bound; else the
   * primary, within its budget.
   * @throws ClientError REPLICA_UNAVAILABLE where none can answer.
   */
  async atLeast(required: Lsn | null): Promise<Place> {
    const now = chooseNow(this.#replicas, required);
    if (now) return onReplica(now, 0);
    const waitable = required === null ? [] : worthWaitingFor(this.#replicas);
    if (waitable.length === 0) return this.#withoutReplica(required, 'no replica is well', 0);
    const { replica, waitedMs } = await this.waitForFirst(waitable, required!, this.#options.bookmarkWaitMs);
    return replica
      ? onReplica(replica, waitedMs)
      : this.#withoutReplica(required, 'no replica was there in time', waitedMs);
  }

  /** Waits, after a commit, until a replica has applied it. The write stands whatever comes of it. */
  async confirm(lsn: Lsn, wanted: Confirmed['level']): Promise<Confirmed> {
    if (wanted === 'COMMITTED') return { level: 'COMMITTED', replica: null, waitedMs: 0 };
    const waitable = worthWaitingFor(this.#replicas);
    const { replica, waitedMs } = await this.waitForFirst(waitable, lsn, this.#options.bookmarkWaitMs);
    return { level: replica ? 'REPLICATED' : 'COMMITTED', replica: replica?.name ?? null, waitedMs };
  }

  /** The first replica to reach `lsn`, or none at the bound. */
  async waitForFirst(
    replicas: readonly Replica[],
    lsn: Lsn,
    boundMs: number,
  ): Promise<{ replica: Replica | undefined; waitedMs: number }> {
    const { stallMs, complain } = this.#options;
    const told = (error: unknown) => complain(error, NO_BEAT);
    const started = performance.now();
    const abort = new AbortController();
    const bound = setTimeout(() => abort.abort(new Error('bound reached')), boundMs);
    const stall = setInterval(() => void this.#primary.beat().catch(told), stallMs);
    const waits = replicas.map((replica) => replica.waitFor(lsn, abort.signal).then(() => replica));
    const replica = await Promise.any(waits).catch(() => undefined); // the bound was reached, for all of them
    clearInterval(stall);
    clearTimeout(bound);
    abort.abort(new Error('another replica was first'));
    await Promise.allSettled(waits);
    return { replica, waitedMs: Math.round((performance.now() - started) * 1000) / 1000 };
  }

  #withoutReplica(required: Lsn | null, reason: Fallback, waitedMs: number): Place {
    if (this.#primary.reachable) return this.#onPrimary(reason, waitedMs);
    const replica = chooseWithoutPrimary(this.#replicas, required);
    if (replica) return { ...onReplica(replica, waitedMs), fallback: 'the primary is away' };
    throw new ClientError(
      'REPLICA_UNAVAILABLE',
      'No replica can answer as asked, and the primary cannot be reached: try again soon.',
    );
  }

  #onPrimary(fallback: Fallback, waitedMs: number): Place {
    if (this.#primaryReads >= this.#options.primaryReadsMax) {
      throw new ClientError(
        'REPLICA_UNAVAILABLE',
        'No replica can answer as asked, and the primary has no room for more reads: try again soon.',
      );
    }
    this.#primaryReads++;
    return {
      name: 'primary',
      sql: this.#primary.reader,
      waitedMs,
      fallback,
      failed: (error) => {
        this.#options.complain(error, 'A read failed on the primary, and is tried elsewhere.');
        this.#primary.lost();
        return this.#primary.settled();
      },
      release: once(() => this.#primaryReads--),
    };
  }
}

function onReplica(replica: Replica, waitedMs: number): Place {
  replica.inFlight++;
  return {
    name: replica.name,
    sql: replica.reader,
    waitedMs,
    failed: (error) => replica.failed(error),
    release: once(() => replica.inFlight--),
  };
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}

/** What choosing looks at of a replica. */
export interface Candidate {
  view: { state: ReplicaState; applied: Lsn | null };
  inFlight: number;
}

/** Well and, where a position is asked for, there: the least loaded of them. */
export function chooseNow<C extends Candidate>(replicas: readonly C[], required: Lsn | null): C | undefined {
  return leastLoaded(replicas.filter((replica) => replica.view.state === 'streaming' && satisfies(replica, required)));
}

/** For who takes any state: the well ones first, then whatever answers and has a whole copy. */
export function chooseAny<C extends Candidate>(replicas: readonly C[]): C | undefined {
  return chooseNow(replicas, null) ?? leastLoaded(replicas.filter(isWhole));
}

/** With the primary away nothing new is written: a replica that answers and is far enough will do, though it is not fed. */
export function chooseWithoutPrimary<C extends Candidate>(replicas: readonly C[], required: Lsn | null): C | undefined {
  return leastLoaded(replicas.filter((replica) => isWhole(replica) && satisfies(replica, required)));
}

/** Those worth waiting for: all others are passed over at once. */
export function worthWaitingFor<C extends Candidate>(replicas: readonly C[]): C[] {
  return replicas.filter(({ view }) => view.state === 'streaming');
}

/** One that is lost lacks changes for good, and is emptied without further notice once it is copied again. */
const isWhole = ({ view }: Candidate) => view.state !== 'down' && view.state !== 'copying' && view.state !== 'lost';

const satisfies = ({ view }: Candidate, required: Lsn | null) =>
  required === null || (view.applied !== null && view.applied >= required);

function leastLoaded<C extends Candidate>(replicas: readonly C[]): C | undefined {
  return replicas.reduce<C | undefined>(
    (best, next) => (best && best.inFlight <= next.inFlight ? best : next),
    undefined,
  );
}
