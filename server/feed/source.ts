import type { Sql } from '../database/connect.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Position } from '../lib/position.ts';
import { feedFaults, lastPosition, logState, NOT_COMPLETE, type LogState } from '../database/sql/change-log.ts';
import { cursorExpired, type FeedPlace } from './cursor.ts';
import { LogReading } from './log-reading.ts';
import type { Snapshot } from './snapshot.ts';
import type { Snapshots } from './snapshots.ts';
import type { SnapshotTable } from './view.ts';

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

  /** Whether it can be trusted still, and what it holds now: set-up and pruning go on meanwhile. @throws FeedFault */
  async check(): Promise<void> {
    await checkFaults(this.source);
    this.#state = await logState(this.source.reader);
  }

  /** To be ended. */
  snapshot(tables: readonly SnapshotTable[]): Snapshot {
    return this.source.snapshots.begin(tables, this.#state.prunedTo);
  }

  /**
   * A reading from a position that was found in the log `logId`.
   * @throws ClientError CURSOR_EXPIRED where it says nothing here.
   */
  read(sql: Sql, { logId, lsn, place }: FeedPlace): LogReading {
    const { completeSince, prunedTo } = this.#state;
    if (lsn < prunedTo) throw cursorExpired('is older than what the change log keeps');
    if (logId !== this.logId && lsn < completeSince) {
      throw cursorExpired(`is of another replica, and older than the copy of ${this.source.name}`);
    }
    return new LogReading(sql, this.logId, { lsn, place });
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
