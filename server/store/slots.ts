import type { Sql } from '../db/connect.ts';

/** A replication slot of this database: what WAL the primary keeps because of it. */
export interface Slot {
  slot: string;
  active: boolean;
  heldBytes: number;
  /** reserved, extended, unreserved, or lost. */
  walStatus: string | null;
  /** What it may hold before it is lost; null: no limit. */
  limitBytes: number | null;
}

/** On the primary. */
export async function slots(sql: Sql): Promise<Slot[]> {
  return sql<Slot[]>`
    select slot, active, coalesce(held_bytes, 0)::float as held_bytes, wal_status,
           nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1)::float as limit_bytes
    from readback.slots() order by slot`;
}
