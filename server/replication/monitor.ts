import type { Complain } from '../lib/complaints.ts';
import type { Lsn } from '../lib/lsn.ts';
import { withinMs } from '../lib/within.ts';
import type { Primary } from './primary.ts';
import type { Replica } from './replica.ts';

/** A primary that falls silent holds up no round for longer. */
const WRITE_MS = 1000;

const NOT_WRITTEN =
  'The heartbeat, or what was seen on the replicas, could not be written on the primary: their lag may be told as more than it is.';

/** Keeps what is known of all servers fresh, so that no request has to find out. */
export class Monitor {
  readonly #primary: Primary;
  readonly #replicas: readonly Replica[];
  readonly #intervalMs: number;
  readonly #complain: Complain;
  readonly #watchers = new Set<() => void>();
  #previous: Lsn | null = null;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(primary: Primary, replicas: readonly Replica[], intervalMs: number, complain: Complain) {
    this.#primary = primary;
    this.#replicas = replicas;
    this.#intervalMs = intervalMs;
    this.#complain = complain;
  }

  /** Resolves after the first round: every server was asked once. */
  async start(): Promise<void> {
    await this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** `watcher` is called after each round. Returns how to stop that. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Resolves after the next round, or at once when the signal is aborted. */
  nextRound(gone: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        stop();
        gone.removeEventListener('abort', end);
        resolve();
      };
      const stop = this.watch(end);
      gone.addEventListener('abort', end);
    });
  }

  async #run(): Promise<void> {
    this.#round = this.#look();
    await this.#round;
    for (const watcher of this.#watchers) watcher();
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#run(), this.#intervalMs);
  }

  async #look(): Promise<void> {
    await this.#primary.looked();
    await Promise.all(this.#replicas.map((replica) => replica.look()));
    if (this.#primary.reachable)
      await withinMs(this.#write(), WRITE_MS).catch((error: unknown) => this.#complain(error, NOT_WRITTEN));
    this.#previous = this.#primary.clock.latest;
  }

  /** What does not arrive in time is made good by the next round. */
  async #write(): Promise<void> {
    const isRefusing = this.#primary.refusal !== null;
    if (isRefusing || this.#replicas.some((replica) => this.#needsBeat(replica))) await this.#primary.beat();
    await Promise.all(this.#replicas.map((replica) => replica.note()));
  }

  /**
   * Where the primary was a round ago it may be late, or that WAL was of no published table: a beat tells. So it does of
   * one that is not proven: the first transaction after a crash shows whether others are missing before it.
   */
  #needsBeat({ view: { state, applied, proven } }: Replica): boolean {
    if (state === 'down' || state === 'lost') return false;
    return proven ? applied !== null && this.#previous !== null && applied < this.#previous : true;
  }
}
