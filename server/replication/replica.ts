import type { Sql } from '../database/connect.ts';
import { wordsOf, type Complain } from '../lib/complaints.ts';
import type { Lsn } from '../lib/lsn.ts';
import { shared } from '../lib/shared.ts';
import { withinMs } from '../lib/within.ts';
import { deniedInWorker, type Denied } from '../database/sql/denied.ts';
import { proofOf } from '../database/sql/positions.ts';
import { changesCopied } from '../setup/partitions.ts';
import { observe, UNKNOWN, type Look, type Observation, type ReplicaView } from './state.ts';
import { Trust, type TrustOptions } from './trust.ts';

export interface ReplicaOptions {
  name: string;
  /** Reads of requests, as readback_reader. */
  reader: Sql;
  /** One connection that no request's reads wait on: looks and LISTEN. */
  watch: Sql;
  /** A look that takes longer says that the replica is down. */
  lookTimeoutMs: number;
  /** When no look was answered for so long, connections to it are given up. */
  silentMs: number;
  silent: () => void;
  maxLagMs: number;
  /** How old a state is that has applied up to there; null where the primary is not known. */
  lagOf: (applied: Lsn) => number | null;
  /** The primary has that slot no more, or keeps nothing by it. */
  isSlotLost: (slot: string) => boolean;
  /** What servers tell each other of what they saw there, by way of the primary. */
  seen: Omit<TrustOptions, 'prove' | 'complain'>;
  isPrimaryReachable: () => boolean;
  /** Another apply worker has begun. Left out: nobody wants to know. */
  restarted?: () => void;
  complain: Complain;
}

interface Asked extends Omit<Look, 'lost' | 'proven' | 'working'> {
  subscribed: boolean;
  /** Process id of the apply worker. */
  worker: number | null;
}

interface Waiter {
  lsn: Lsn;
  resolve: () => void;
}

/**
 * While anyone waits, a look happens at least this often: the doorbell can be missed. Where nobody waits, what is known may
 * be so much older: whoever begins to wait looks at once.
 */
const LOOK_MS = 25;

const INSUFFICIENT_PRIVILEGE = '42501';

/** One replica: what is known of it, and waiting until it has applied a position. */
export class Replica {
  readonly name: string;
  readonly reader: Sql;
  /** Requests that read here now. */
  inFlight = 0;
  readonly #options: ReplicaOptions;
  readonly #trust: Trust;
  #view: ReplicaView = UNKNOWN;
  #reason: string | null = null;
  #waiters = new Set<Waiter>();
  #worker: number | null = null;
  /** What the apply worker may not do. */
  #denied: Denied | null = null;
  #timer: NodeJS.Timeout | undefined;
  #answeredAt = performance.now();
  #rung: NodeJS.Timeout | undefined;

  constructor(options: ReplicaOptions) {
    this.name = options.name;
    this.reader = options.reader;
    this.#options = options;
    this.#trust = new Trust({
      ...options.seen,
      complain: options.complain,
      prove: (positions) => proofOf(options.watch, positions),
    });
  }

  get view(): ReplicaView {
    return this.#view;
  }

  /** Why the last look was not answered, or why nothing is applied; null where all is well, or that is not known. */
  get reason(): string | null {
    return this.#reason ?? (this.#denied && `its apply worker fails: ${this.#denied.words}`);
  }

  hasApplied(lsn: Lsn): boolean {
    return this.#view.applied !== null && this.#view.applied >= lsn;
  }

  /** Looks once for everybody who asks at the same time, and never fails: a replica that does not answer is down. */
  readonly look = shared(async (): Promise<void> => {
    this.#observe(await this.#ask());
  });

  /** A read failed there, for want of the server or of what it needs to work. */
  failed(error: unknown): void {
    this.#options.complain(error, `A read failed on ${this.name}, and is tried elsewhere.`);
    this.lost();
  }

  /** A connection broke or a read failed: nothing is believed before the next look. */
  lost(): void {
    this.#observe({ kind: 'unreachable' });
    void this.look();
  }

  /** The doorbell: a transaction was applied. Where nobody waits for one, those of some milliseconds share a look. */
  rang(): void {
    if (this.#waiters.size > 0) void this.look();
    else this.#rung ??= setTimeout(() => this.#lookForAll(), LOOK_MS);
  }

  #lookForAll(): void {
    this.#rung = undefined;
    void this.look();
  }

  /** Resolves when everything up to `lsn` can be read here. Ends with an AbortError through the signal. */
  async waitFor(lsn: Lsn, signal: AbortSignal): Promise<void> {
    if (this.hasApplied(lsn)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { lsn, resolve };
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort);
    this.#waiters.add(waiter);
    void this.look();
    this.#lookAgainSoon();
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#waiters.delete(waiter);
    }
  }

  #lookAgainSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiters.size === 0) return;
      void this.look();
      this.#lookAgainSoon();
    }, LOOK_MS);
  }

  async #ask(): Promise<Observation> {
    try {
      const look = await withinMs(this.#looked(), this.#options.lookTimeoutMs);
      this.#reason = null;
      return { kind: 'looked', look };
    } catch (error) {
      this.#reason = wordsOf(error);
      this.#options.complain(error, `${this.name} does not say how far it is: it is taken for down.`);
      this.#unanswered();
      return { kind: 'unreachable' };
    }
  }

  async #looked(): Promise<Look> {
    const [look] = await this.#position();
    const { slot, progress, applied, copying, worker } = look;
    if (worker !== null && worker !== this.#worker) this.#options.restarted?.();
    this.#worker = worker ?? this.#worker;
    if (look.enabled && (worker === null || this.#denied)) await this.#askWhatIsDenied();
    const trust = this.#trust;
    trust.copies(copying > 0);
    if (slot !== null) await trust.settle(slot, this.#options.isPrimaryReachable());
    if (progress !== null && applied !== null && applied >= progress) trust.saw(progress);
    const working = worker !== null && this.#denied === null;
    return { ...look, working, lost: this.#isLost(look), proven: trust.isProven };
  }

  /** A worker that fails is there and gone again: what has it fail is asked until it is mended. */
  async #askWhatIsDenied(): Promise<void> {
    this.#denied = await deniedInWorker(this.#options.watch);
    if (!this.#denied) return;
    const error = Object.assign(new Error(this.#denied.words), { code: INSUFFICIENT_PRIVILEGE });
    this.#options.complain(error, `The apply worker of ${this.name} fails at each change, so nothing arrives there.`);
  }

  /** The last of what was done to partitions alone that its copy has; undefined: it does not say. */
  changesCopied(): Promise<number | undefined> {
    return changesCopied(this.#options.reader).catch(() => undefined); // it is down, and its looks tell why
  }

  /** Tells other servers what was seen here. */
  async note(): Promise<void> {
    if (this.#view.slot !== null) await this.#trust.note(this.#view.slot);
  }

  /** An answer that comes too late is a sign of life, too. */
  async #position(): Promise<[Asked]> {
    const answer = await this.#options.watch<[Asked]>`
      select subscribed, slot, coalesce(enabled, false) as enabled, worker,
             coalesce(copying, 0) as copying, progress, applied
      from readback.position()`;
    this.#answeredAt = performance.now();
    return answer;
  }

  /** A server that has vanished from the network keeps its connections open, and what is sent over them waits. */
  #unanswered(): void {
    const now = performance.now();
    if (now - this.#answeredAt < this.#options.silentMs) return;
    this.#answeredAt = now;
    this.#options.silent();
  }

  /** Its worker says nothing of that: it comes up again and again, and finds each time that there is no slot. */
  #isLost({ subscribed, slot }: Asked): boolean {
    return !subscribed || this.#trust.isLost || (slot !== null && this.#options.isSlotLost(slot));
  }

  #observe(observation: Observation): void {
    const { lagOf, maxLagMs } = this.#options;
    if (observation.kind === 'unreachable') this.#trust.doubt();
    this.#view = observe(this.#view, observation, lagOf, maxLagMs);
    for (const waiter of this.#waiters) if (this.hasApplied(waiter.lsn)) waiter.resolve();
  }
}
