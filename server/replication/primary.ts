import type { Sql, Statement } from '../db/connect.ts';
import { forClient } from '../db/errors.ts';
import type { Lsn } from '../lib/lsn.ts';
import { shared } from '../lib/shared.ts';
import { slots } from '../store/slots.ts';
import type { Identity } from './bookmark.ts';
import { LagClock } from './lag.ts';

export interface PrimaryConnections {
  /** As readback_writer. */
  writer: Sql;
  /** As readback_reader: for reads that no replica can answer. */
  reader: Sql;
  /** One connection as readback_reader that no reads wait on: identity and position. */
  watch: Sql;
}

interface IdentityRow {
  cluster: string;
  timeline: number;
  flushed: Lsn;
}

/** The primary: writes, what is known of its position, and the heartbeat that moves the replicas along. */
export class Primary {
  readonly clock = new LagClock();
  readonly #connections: PrimaryConnections;
  #identity: Identity | undefined;
  #reachable = false;

  constructor(connections: PrimaryConnections) {
    this.#connections = connections;
  }

  get writer(): Sql {
    return this.#connections.writer;
  }

  get reader(): Sql {
    return this.#connections.reader;
  }

  /** For looks that must not wait for reads. */
  get watch(): Sql {
    return this.#connections.watch;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /** Undefined until the primary was reached once. */
  get identity(): Identity | undefined {
    return this.#identity;
  }

  /**
   * Runs one writing statement, and returns its rows and the flushed position behind its commit. Both are sent at once
   * on one connection, each with a Sync of its own: the second runs when the first has committed.
   */
  async write<Row extends object>(
    statement: (sql: Sql) => Statement<Row>,
  ): Promise<{ rows: readonly Row[]; lsn: Lsn }> {
    try {
      const connection = await this.#connections.writer.reserve();
      try {
        const written = statement(connection as Sql).execute();
        const position = connection<[{ flushed: Lsn }]>`select pg_current_wal_flush_lsn() as flushed`.execute();
        const [rows, [{ flushed }]] = await settled(written, position);
        this.#sawPosition(flushed);
        return { rows, lsn: flushed };
      } finally {
        connection.release();
      }
    } catch (error) {
      throw forClient(error, 'PRIMARY');
    }
  }

  /** The flushed position, asked for after this call: shared by all who call within one turn. */
  readonly flushedNow = shared(async (): Promise<Lsn> => {
    try {
      return await this.#look();
    } catch (error) {
      this.#reachable = false;
      throw forClient(error, 'PRIMARY');
    }
  });

  /** Writes the published heartbeat row; shared by all who ask while one is under way. */
  readonly beat = shared(async (): Promise<void> => {
    await this.#connections.writer`update readback.heartbeat set beat_at = clock_timestamp()`;
  });

  /** The replication slots, asked for after this call; shared like the position. */
  readonly slots = shared(() => slots(this.#connections.watch));

  async #look(): Promise<Lsn> {
    const [row] = await this.#connections.watch<
      [IdentityRow]
    >`select cluster, timeline, flushed from readback.identity()`;
    this.#recognise({ cluster: BigInt(row.cluster), timeline: row.timeline });
    this.#reachable = true;
    this.#sawPosition(row.flushed);
    return row.flushed;
  }

  /** Positions of another cluster or timeline do not compare with the ones sampled so far. */
  #recognise(identity: Identity): void {
    const known = this.#identity;
    if (known && (known.cluster !== identity.cluster || known.timeline !== identity.timeline)) this.clock.forget();
    this.#identity = identity;
  }

  #sawPosition(lsn: Lsn): void {
    this.clock.add(performance.now(), lsn);
  }
}

/** Both are awaited before either's failure is thrown: the connection is free again, and no rejection goes unseen. */
async function settled<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === 'rejected') throw a.reason;
  if (b.status === 'rejected') throw b.reason;
  return [a.value, b.value];
}
