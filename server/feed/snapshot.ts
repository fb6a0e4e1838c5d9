import type { Sql } from '../db/connect.ts';
import { ClientError } from '../lib/errors.ts';
import { lastPosition, logState, rowsAfter, type Image, type SnapshotImage } from '../store/change-log.ts';
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
 * @throws ClientError REPLICA_UNAVAILABLE where the replica goes away meanwhile.
 */
export async function* snapshot(
  open: OpenSource,
  tables: readonly SnapshotTable[],
): AsyncGenerator<SnapshotRow, FeedPlace> {
  const { replay, losses } = open.source;
  const connection = await replay.reserve();
  const sql = connection as Sql;
  const before = losses();
  try {
    await sql`begin transaction isolation level repeatable read read only`;
    const place = await placeOf(sql);
    for (const table of tables) {
      for (let after: string | null = null; ;) {
        const rows: SnapshotImage[] = await rowsAfter(sql, table.table, table.keyColumn, after, BATCH);
        for (const { key, image } of rows) yield { table: table.table, key, image, place };
        if (rows.length < BATCH) break;
        after = rows.at(-1)!.key;
      }
    }
    return place;
  } catch (error) {
    throw losses() === before ? error : away();
  } finally {
    // Of a connection that was lost, both do nothing: it has left the transaction, and gone back to the pool, by itself.
    await sql`rollback`.catch(() => undefined);
    connection.release();
  }
}

const away = () =>
  new ClientError('REPLICA_UNAVAILABLE', 'The replica went away before the snapshot was complete: take it anew.');

async function placeOf(sql: Sql): Promise<FeedPlace> {
  const { logId, completeSince } = await logState(sql);
  const position = (await lastPosition(sql)) ?? { lsn: completeSince, place: 0 };
  return { ...position, logId: BigInt(logId) };
}
