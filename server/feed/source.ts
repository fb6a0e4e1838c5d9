import type { Sql } from '../database/connect.ts';
import {
  changesAfter,
  FEW,
  feedFaults,
  isOfAnother,
  lastPosition,
  logState,
  NOT_COMPLETE,
  positionBefore,
  rowEndAt,
  settledPosition,
  type ChangeRow,
  type ChangeRows,
  type LogState,
  type RowEnd,
} from '../database/sql/change-log.ts';
import type { Declaration } from '../declare/declaration.ts';
import type { Lsn } from '../lib/lsn.ts';
import { comparePositions, type Position } from '../lib/position.ts';
import { withinMs } from '../lib/within.ts';
import { cursorExpired, type FeedPlace } from './cursor.ts';
import type { FeedChange } from './recent.ts';
import type { Snapshot } from './snapshot.ts';
import type { Snapshots } from './snapshots.ts';

/** A replica, as the feed sees it. */
export interface FeedSource {
  name: string;
  /** One connection for the reader. */
  reader: Sql;
  /** A few for those who come from earlier places in the log. */
  replay: Sql;
  snapshots: Snapshots;
  /** `growing`: it applies what the primary writes; `standing`: it can be read, but nothing new arrives now. */
  fitness: () => 'growing' | 'standing' | 'away';
  /** How old what it has applied is; null where the primary is not known. */
  lagMs: () => number | null;
  /** The end of a transaction that can be read, with everything before it; null: not known. */
  settled: () => Lsn | null;
}

/** Somebody changed on the replica what the feed relies on. */
export class FeedFault extends Error {}

/** A replica's log, open for reading. */
export class OpenSource {
  readonly source: FeedSource;
  #state: LogState;
  readonly logId: bigint;

  constructor(source: FeedSource, state: LogState) {
    this.source = source;
    this.#state = state;
    this.logId = BigInt(state.logId);
  }

  /** Where the log ends now. */
  async end(): Promise<Position> {
    return (await lastPosition(this.source.reader)) ?? { lsn: this.#state.completeSince, place: 0 };
  }

  /** Before the latest changes, so many of them; undefined where there are none. */
  async beforeLatest(count: number): Promise<FeedPlace | undefined> {
    const position = await withinMs(positionBefore(this.source.replay, count), READ_TIMEOUT_MS);
    return position && { ...position, logId: this.logId };
  }

  /** Whether it can be trusted still, and what it holds now: set-up and pruning go on meanwhile. @throws FeedFault */
  async check(): Promise<void> {
    await checkFaults(this.source);
    this.#state = await logState(this.source.reader);
  }

  /** To be ended. */
  snapshot(tables: readonly Declaration[]): Snapshot {
    return this.source.snapshots.begin(tables, this.#state.prunedTo);
  }

  /**
   * A reading from a position that was found in the log `logId`.
   * @throws ClientError CURSOR_EXPIRED where it says nothing here.
   */
  read(sql: Sql, { logId, lsn, place }: FeedPlace): LogReading {
    const { othersFrom, prunedTo } = this.#state;
    if (lsn < prunedTo) throw cursorExpired('is older than what the change log keeps');
    if (logId !== this.logId && lsn < othersFrom) throw beforeCopy();
    return new LogReading(sql, this.#state, { lsn, place }, logId !== this.logId);
  }
}

/** @throws FeedFault where its log cannot be trusted. */
export async function openSource(source: FeedSource): Promise<OpenSource> {
  await checkFaults(source);
  const state = await logState(source.reader);
  if (state.completeSince === NOT_COMPLETE)
    throw new FeedFault(`${source.name}: set-up did not end: run readback migrate`);
  return new OpenSource(source, state);
}

async function checkFaults(source: FeedSource): Promise<void> {
  const faults = await feedFaults(source.reader);
  if (faults.length > 0) throw new FeedFault(`${source.name}: ${faults.join('; ')}`);
}

export const beforeCopy = () => cursorExpired('is of another replica, and older than the copy of this one');

/** A half-open connection answers nothing: then the read is given up, and tried on a new one. */
const READ_TIMEOUT_MS = 10_000;

/** Reads one replica's log from a position on, while its connections last: after a crash seq numbers may differ. */
export class LogReading {
  readonly #sql: Sql;
  readonly #logId: bigint;
  /** Whose changes the log has. */
  readonly #subscription: number | null;
  #position: Position;
  /** The position was found in another replica's log, and not here yet. */
  #isOthers: boolean;
  #othersFrom: Lsn = 0n;
  /** The row before those that come next; undefined until the replica has the change at the position. */
  #last: RowEnd | undefined;
  #hasMore = false;
  /** There may be more than a few. */
  #isBusy = true;

  constructor(sql: Sql, { logId, subscription }: LogState, position: Position, isOthers = false) {
    this.#sql = sql;
    this.#logId = BigInt(logId);
    this.#subscription = subscription;
    this.#position = position;
    this.#isOthers = isOthers;
  }

  get position(): Position {
    return this.#position;
  }

  /** Positions from here on that another replica gave out are good here, as of the last read. */
  get othersFrom(): Lsn {
    return this.#othersFrom;
  }

  /** The position was found in the log. */
  get hasBegun(): boolean {
    return this.#last !== undefined;
  }

  /** After what was read last the log has had others already. */
  get hasMore(): boolean {
    return this.#hasMore;
  }

  /**
   * The next changes, of `limit` rows at most, and fewer where they are long; empty where there are none yet.
   * @throws ClientError CURSOR_EXPIRED where the log does not hold what follows.
   */
  next(limit: number): Promise<FeedChange[]> {
    return withinMs(this.#next(limit), READ_TIMEOUT_MS);
  }

  /** Mostly there are few, which are cheaper to ask for; what there is at once is told at once. */
  async #next(limit: number): Promise<FeedChange[]> {
    const few = this.#isBusy ? [] : await this.#read(FEW);
    if (!this.#isBusy) return few;
    return [...few, ...(await this.#read(limit))];
  }

  async #read(limit: number): Promise<FeedChange[]> {
    this.#hasMore = false;
    this.#last ??= await this.#anchor();
    if (this.#last === undefined) return [];
    const from = this.#position;
    const read = await changesAfter(this.#sql, from.lsn, this.#last.seq, limit, this.#subscription);
    await this.#assertFollows(read);
    this.#hasMore = read.hasMore;
    this.#isBusy = read.hasMore || read.rows.length > FEW;
    const changes = read.rows.flatMap((row) => this.#placed(row, read.seen));
    // Of a row that counts as two changes, the first may lie at the position.
    return changes.filter(({ position }) => comparePositions(position, from) > 0);
  }

  /**
   * What follows here follows what was read. A replica that copies a table skips transactions of that table alone, which
   * another one may have logged: meanwhile the two name the transactions after them otherwise.
   */
  async #assertFollows({ logId, prunedTo, isSubscribed, othersFrom }: ChangeRows): Promise<void> {
    if (!isSubscribed && (await isOfAnother(this.#sql, this.#subscription)))
      throw new FeedFault('its subscription was made again');
    if (BigInt(logId) !== this.#logId) throw cursorExpired('is of a change log that has ended'); // copied again
    if (this.#position.lsn < prunedTo) throw cursorExpired('is older than what the change log keeps');
    if (this.#isOthers && this.#position.lsn < othersFrom) throw beforeCopy();
    this.#othersFrom = othersFrom;
    this.#isOthers = false;
  }

  /**
   * A replica that has applied the transaction at the position, and has no such change, has another history: nothing can
   * follow for certain. Only the end of a transaction past the position says that it has; a keepalive may lie right
   * before that transaction, on a replica that lags by it. It is read before the row, so that it cannot be the newer one.
   */
  async #anchor(): Promise<RowEnd | undefined> {
    if (this.#position.place === 0) return { seq: '0', place: 0 };
    const settled = await settledPosition(this.#sql);
    const end = await rowEndAt(this.#sql, this.#position);
    if (end === undefined && settled !== null && settled > this.#position.lsn) {
      throw cursorExpired('names a change that the change log does not hold');
    }
    return end;
  }

  #placed(row: ChangeRow, seen: Lsn): FeedChange[] {
    const { afterLsn: lsn, seq } = row;
    const before = lsn === this.#position.lsn ? this.#last!.place : 0;
    const changes = changesOf(row).map((change, index): FeedChange => {
      return { ...change, position: { lsn, place: before + index + 1 }, logId: this.#logId, seen };
    });
    this.#position = changes.at(-1)!.position;
    this.#last = { seq, place: this.#position.place };
    return changes;
  }
}

/**
 * An update of a key is told as what it is to whoever keeps rows by key: a DELETE of the old one, then an INSERT of the
 * new one. The log has it as one row, which counts two places wherever places are counted: so a place names the same
 * change on every replica, whatever wrote its log.
 */
function changesOf(row: ChangeRow): Omit<ChangeRow, 'formerKey'>[] {
  const { formerKey } = row;
  if (formerKey === null) return [row];
  return [
    { ...row, operation: 'DELETE', key: formerKey, after: null },
    { ...row, operation: 'INSERT', before: null },
  ];
}
