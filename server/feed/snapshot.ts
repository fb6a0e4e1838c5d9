import type { Sql } from '../db/connect.ts';
import { lastPosition, logState, rowsOf, type Image } from '../store/change-log.ts';
import type { FeedPlace } from './cursor.ts';
import type { OpenSource } from './source.ts';

export interface SnapshotRow {
  table: string;
  key: string;
  image: Image;
  /** Where the feed goes on once the snapshot is complete. */
  place: FeedPlace;
}

export interface SnapshotTable {
  table: string;
  keyColumn: string;
}

const BATCH = 500;

/**
 * Every row of the tables as one transaction sees them; returns the place in the feed where that transaction stands. A
 * log row is written with its data row, so the last one that the transaction sees says exactly what it has seen.
 */
export async function* snapshot(
  open: OpenSource,
  tables: readonly SnapshotTable[],
): AsyncGenerator<SnapshotRow, FeedPlace> {
  const connection = await open.source.replay.reserve();
  const sql = connection as Sql;
  try {
    await sql`begin transaction isolation level repeatable read read only`;
    await sql`set local statement_timeout = 0`; // as slow as who receives it, which has a bound of its own
    const place = await placeOf(sql);
    for (const { table, keyColumn } of tables) {
      for await (const batch of rowsOf(sql, table, keyColumn, BATCH)) {
        for (const { key, image } of batch) yield { table, key, image, place };
      }
    }
    return place;
  } finally {
    await sql`rollback`.catch(() => undefined);
    connection.release();
  }
}

async function placeOf(sql: Sql): Promise<FeedPlace> {
  const { logId, completeSince } = await logState(sql);
  const position = (await lastPosition(sql)) ?? { lsn: completeSince, place: 0 };
  return { ...position, logId: BigInt(logId) };
}
