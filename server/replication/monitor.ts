import type { Lsn } from '../lib/lsn.ts';
import type { Primary } from './primary.ts';
import type { Replica } from './replica.ts';

/** Keeps what is known of all servers fresh, so that no request has to find out. */
export class Monitor {
  readonly #primary: Primary;
  readonly #replicas: readonly Replica[];
  readonly #intervalMs: number;
  readonly #watchers = new Set<() => void>();
  #previous: Lsn | null = null;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(primary: Primary, replicas: readonly Replica[], intervalMs: number) {
    this.#primary = primary;
    this.#replicas = replicas;
    this.#intervalMs = intervalMs;
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
    await this.#primary.flushedNow().catch(() => undefined);
    await Promise.all(this.#replicas.map((replica) => replica.look()));
    await this.#beatWhereBehind();
    this.#previous = this.#primary.clock.latest;
  }

  /** Behind where the primary was a round ago: maybe late, maybe that WAL was of no published table. A beat tells. */
  async #beatWhereBehind(): Promise<void> {
    const previous = this.#previous;
    if (!this.#primary.reachable || previous === null) return;
    const behind = this.#replicas.some(
      ({ view }) => view.state !== 'down' && view.applied !== null && view.applied < previous,
    );
    if (behind) await this.#primary.beat().catch(() => undefined);
  }
}
