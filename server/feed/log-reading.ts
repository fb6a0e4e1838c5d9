import { type Sql } from '../db/connect.ts';
import { withinMs } from '../lib/within.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Position } from '../lib/position.ts';
import { changesAfter, seqAt, settledPosition, type ChangeRow } from '../store/change-log.ts';
import { cursorExpired } from './cursor.ts';
import type { FeedChange } from './recent.ts';

/** A half-open connection answers nothing: then the read is given up, and tried on a new one. */
const READ_TIMEOUT_MS = 10_000;

/** Reads one replica's log from a position on, while its connections last: after a crash seq numbers may differ. */
export class LogReading {
  readonly #sql: Sql;
  readonly #logId: bigint;
  #position: Position;
  /** Of the change at the position; undefined until the replica has it. */
  #seq: string | undefined;

  constructor(sql: Sql, logId: bigint, position: Position) {
    this.#sql = sql;
    this.#logId = logId;
    this.#position = position;
  }

  get position(): Position {
    return this.#position;
  }

  /**
   * The next changes, `limit` at most; empty where there are none yet.
   * @throws ClientError CURSOR_EXPIRED where the log does not hold what follows.
   */
  next(limit: number): Promise<FeedChange[]> {
    return withinMs(this.#next(limit), READ_TIMEOUT_MS);
  }

  async #next(limit: number): Promise<FeedChange[]> {
    this.#seq ??= await this.#anchor();
    if (this.#seq === undefined) return [];
    const { rows, seen, logId, prunedTo } = await changesAfter(this.#sql, this.#position.lsn, this.#seq, limit);
    // Its replica is copied anew: what follows here does not follow what was read.
    if (BigInt(logId) !== this.#logId) throw cursorExpired('is of a change log that has ended');
    if (this.#position.lsn < prunedTo) throw cursorExpired('is older than what the change log keeps');
    return rows.map((row) => this.#placed(row, seen));
  }

  /**
   * A replica that has applied the transaction at the position, and has no such change, has another history: nothing can
   * follow for certain. Only the end of a transaction past the position says that it has; a keepalive may lie right
   * before that transaction, on a replica that lags by it. It is read before the row, so that it cannot be the newer one.
   */
  async #anchor(): Promise<string | undefined> {
    if (this.#position.place === 0) return '0';
    const settled = await settledPosition(this.#sql);
    const seq = await seqAt(this.#sql, this.#position);
    if (seq === undefined && settled !== null && settled > this.#position.lsn) {
      throw cursorExpired('names a change that the change log does not hold');
    }
    return seq;
  }

  #placed(row: ChangeRow, seen: Lsn): FeedChange {
    const place = row.afterLsn === this.#position.lsn ? this.#position.place + 1 : 1;
    this.#position = { lsn: row.afterLsn, place };
    this.#seq = row.seq;
    return { ...row, position: this.#position, logId: this.#logId, seen };
  }
}
