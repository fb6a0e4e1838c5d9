import type { Lsn } from '../lib/lsn.ts';
import type { Replica } from '../replication/replica.ts';
import type { Router } from './router.ts';
import { worthWaitingFor } from './choose.ts';

export interface Confirmed {
  level: 'COMMITTED' | 'REPLICATED';
  replica: string | null;
  waitedMs: number;
}

/** Waits, after a commit, until a replica has applied it. The write stands whatever comes of it. */
export class Confirmer {
  readonly #router: Router;
  readonly #replicas: readonly Replica[];
  readonly #waitMs: number;

  constructor(router: Router, replicas: readonly Replica[], waitMs: number) {
    this.#router = router;
    this.#replicas = replicas;
    this.#waitMs = waitMs;
  }

  async confirm(lsn: Lsn, wanted: Confirmed['level']): Promise<Confirmed> {
    if (wanted === 'COMMITTED') return { level: 'COMMITTED', replica: null, waitedMs: 0 };
    const waitable = worthWaitingFor(this.#replicas);
    const { replica, waitedMs } = await this.#router.waitForFirst(waitable, lsn, this.#waitMs);
    return { level: replica ? 'REPLICATED' : 'COMMITTED', replica: replica?.name ?? null, waitedMs };
  }
}
