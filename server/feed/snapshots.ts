import type { Sql } from '../database/connect.ts';
import type { Lsn } from '../lib/lsn.ts';
import { Snapshot } from './snapshot.ts';
import type { Declaration } from '../declare/declaration.ts';
import { tookTooLong, View } from './view.ts';

/** Transactions that are open at once on a replica for snapshots, each on a connection of its own. */
export const VIEWS_MAX = 2;
/** Clients that begin within so long see the same moment. */
const SHARED_MS = 1000;

/**
 * The snapshots of one replica. A transaction that stays open holds back its vacuum, so there are few, each ends after
 * `mostMs`, and clients share them: one that comes later goes on from an earlier moment, and gets what came after that.
 */
export class Snapshots {
  readonly #pool: Sql;
  readonly #mostMs: number;
  /** The oldest first. */
  #views: View[] = [];

  /** Of `pool` it takes up to VIEWS_MAX connections. */
  constructor(pool: Sql, mostMs: number) {
    this.#pool = pool;
    this.#mostMs = mostMs;
  }

  /** To be ended. What came after it must be told from the log, which was pruned up to `prunedTo`. */
  begin(tables: readonly Declaration[], prunedTo: Lsn): Snapshot {
    return new Snapshot(this.#toJoin(prunedTo) ?? this.#open(), tables);
  }

  /** Half of its time is left to whoever joins it. */
  #toJoin(prunedTo: Lsn): View | undefined {
    const youngest = this.#views.at(-1);
    const mostAge = this.#views.length < VIEWS_MAX ? Math.min(SHARED_MS, this.#mostMs / 2) : this.#mostMs / 2;
    if (!youngest || performance.now() - youngest.openedAt >= mostAge || youngest.isBefore(prunedTo)) return undefined;
    return youngest;
  }

  /** In place of the oldest, where there are as many as may be: whoever reads that has had half of its time. */
  #open(): View {
    if (this.#views.length === VIEWS_MAX) this.#views[0]!.end(tookTooLong(this.#mostMs));
    const view = new View(this.#pool, this.#mostMs, (over) => {
      this.#views = this.#views.filter((other) => other !== over);
    });
    this.#views.push(view);
    return view;
  }
}
