import { untilGone } from '../lib/iterables.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Monitor } from '../replication/monitor.ts';
import type { Replica } from '../replication/replica.ts';
import { worthWaitingFor, type Router } from './router.ts';

export interface Arrival {
  replica: string;
  at: string;
  waitedMs: number;
}

/** Tells of one write when it has come to each replica. */
export class Arrivals {
  readonly #router: Router;
  readonly #replicas: readonly Replica[];
  readonly #monitor: Monitor;
  readonly #eagerMs: number;

  /** `eagerMs`: how long replicas are looked at again and again; after that, as often as the monitor looks anyway. */
  constructor(router: Router, replicas: readonly Replica[], monitor: Monitor, eagerMs: number) {
    this.#router = router;
    this.#replicas = replicas;
    this.#monitor = monitor;
    this.#eagerMs = eagerMs;
  }

  /** Each replica once, as it is found to have applied `lsn`: ends with the last one, however long that takes. */
  of(lsn: Lsn): AsyncGenerator<Arrival, void> {
    return untilGone((signal) => this.#each(lsn, signal));
  }

  async *#each(lsn: Lsn, gone: AbortSignal): AsyncGenerator<Arrival, void> {
    const started = performance.now();
    const missing = new Set(this.#replicas);
    for (let waitedMs = 0; !gone.aborted; waitedMs = performance.now() - started) {
      for (const replica of missing) {
        if (!replica.hasApplied(lsn)) continue;
        missing.delete(replica);
        yield { replica: replica.name, at: new Date().toISOString(), waitedMs };
      }
      if (missing.size === 0) return;
      await this.#next([...missing], lsn, this.#eagerMs - waitedMs, gone);
    }
  }

  async #next(missing: Replica[], lsn: Lsn, eagerMs: number, gone: AbortSignal): Promise<void> {
    const waitable = worthWaitingFor(missing);
    if (eagerMs > 0 && waitable.length > 0) await this.#router.waitForFirst(waitable, lsn, eagerMs);
    else await this.#monitor.nextRound(gone);
  }
}
