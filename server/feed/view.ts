import type { Sql } from '../database/connect.ts';
import { forClient, isUnavailable } from '../database/errors.ts';
import { ClientError } from '../lib/errors.ts';
import type { Lsn } from '../lib/lsn.ts';
import { withinMs } from '../lib/within.ts';
import { lastPosition, logState, rowsAfter, type SnapshotImage } from '../database/sql/change-log.ts';
import type { Declaration } from '../declare/declaration.ts';
import type { FeedPlace } from './cursor.ts';

/** A half-open connection answers nothing: then the view is given up. */
const READ_TIMEOUT_MS = 10_000;

interface Opened {
  sql: Sql;
  place: FeedPlace;
  release: () => void;
}

/**
 * What one transaction on a replica sees, for as many clients as want it. They take turns: who has the turn reads some
 * rows and sends them, and waits for its client without it.
 */
export class View {
  readonly openedAt = performance.now();
  readonly #opened: Promise<Opened>;
  readonly #over: (view: View) => void;
  readonly #timer: NodeJS.Timeout;
  #place: FeedPlace | undefined;
  #clients = 0;
  #lastTurn: Promise<void> = Promise.resolve();
  /** Why it can be read no more. */
  #ended: { reason: unknown } | undefined;

  /** `over` is called once, when it can be read no more. */
  constructor(pool: Sql, mostMs: number, over: (view: View) => void) {
    this.#opened = open(pool);
    this.#opened.catch((error: unknown) => this.end(toldAs(error)));
    this.#over = over;
    this.#timer = setTimeout(() => this.end(tookTooLong(mostMs)), mostMs).unref();
  }

  enter(): void {
    this.#clients++;
  }

  /** The last one closes it. */
  leave(): void {
    if (--this.#clients === 0) this.end(new Error('nobody reads it any more'));
  }

  /** Runs `work` alone: no two of its clients' rows are in memory at once. */
  async turn<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#lastTurn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#lastTurn = promise;
    await before;
    try {
      return await work();
    } finally {
      resolve();
    }
  }

  /**
   * Where it stands in the feed. A log row is written with its data row, so the last one that the transaction sees says
   * exactly what it has seen.
   */
  async place(): Promise<FeedPlace> {
    return this.#read(async ({ place }) => (this.#place = place));
  }

  /** False also where that is not known yet. */
  isBefore(lsn: Lsn): boolean {
    return this.#place !== undefined && this.#place.lsn < lsn;
  }

  /** Within a turn. @throws ClientError REPLICA_UNAVAILABLE where the replica went away, TIMEOUT where its time is over. */
  rows(table: Declaration, after: SnapshotImage | null, limit: number): Promise<SnapshotImage[]> {
    return this.#read(({ sql }) => rowsAfter(sql, table, after, limit));
  }

  /** A statement that fails has ended the transaction for all. */
  async #read<T>(read: (opened: Opened) => PromiseLike<T>): Promise<T> {
    try {
      const opened = await withinMs(this.#opened, READ_TIMEOUT_MS);
      if (!this.#ended) return await withinMs(read(opened), READ_TIMEOUT_MS);
    } catch (error) {
      this.end(toldAs(error));
    }
    throw this.#ended!.reason;
  }

  /** Whoever has the turn ends it first: nothing is read on the connection after the transaction. */
  end(reason: unknown): void {
    if (this.#ended) return;
    this.#ended = { reason };
    clearTimeout(this.#timer);
    this.#over(this);
    void this.turn(async () => {
      const opened = await this.#opened.catch(() => undefined); // `reason` says why
      opened?.release();
    });
  }
}

/** What its clients are told. */
function toldAs(error: unknown): unknown {
  return isUnavailable(error) ? away(error) : forClient(error, 'REPLICA');
}

const away = (cause: unknown) =>
  new ClientError('REPLICA_UNAVAILABLE', 'The replica went away before the snapshot was complete: take it again.', {
    cause,
  });

export const tookTooLong = (mostMs: number) =>
  new ClientError(
    'TIMEOUT',
    `The snapshot was not complete in time, which is half of SNAPSHOT_MAX_MS (${mostMs}) at least: read faster, or take fewer tables at once.`,
  );

async function open(pool: Sql): Promise<Opened> {
  const connection = await pool.reserve();
  const sql = connection as Sql;
  // Of a connection that was lost, both do nothing: it has left the transaction, and gone back to the pool, by itself.
  const release = () => void sql`rollback`.catch(() => undefined).then(() => connection.release());
  try {
    await sql`begin transaction isolation level repeatable read read only`;
    return { sql, place: await placeOf(sql), release };
  } catch (error) {
    release();
    throw error;
  }
}

async function placeOf(sql: Sql): Promise<FeedPlace> {
  const { logId, completeSince } = await logState(sql);
  const position = (await lastPosition(sql)) ?? { lsn: completeSince, place: 0 };
  return { ...position, logId: BigInt(logId) };
}
