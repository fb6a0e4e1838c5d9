import type { Sql } from '../connect.ts';

/** A slot of ours on the primary, which keeps what its replica has yet to apply. */
export interface SlotRow {
  name: string;
  /** A replica reads from it now. */
  isActive: boolean;
  /** PostgreSQL's word: reserved, extended, unreserved or lost; null: it holds nothing yet. */
  walStatus: string | null;
  /** WAL that is kept for it; null where it is lost. */
  heldBytes: number | null;
  /** Of that, what its replica has not confirmed yet; open transactions keep the rest. */
  owedBytes: number | null;
  /** WAL that may still be written before the primary gives it up; null where that has no limit. */
  safeBytes: number | null;
  /** What the primary keeps for a slot at most; null: no limit. */
  limitBytes: number | null;
  /** Null where it is active, and before PostgreSQL 17. */
  inactiveSince: string | null;
  /** Why the primary has given it up, from PostgreSQL 17 on. */
  reason: string | null;
}

/** As readback_reader. */
export function slotRows(primary: Sql): Promise<SlotRow[]> {
  return primary<SlotRow[]>`
    select slot as name, active as is_active, wal_status, held_bytes, owed_bytes, safe_bytes, inactive_since, reason,
           nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1)::float as limit_bytes
    from readback.slots() order by slot`;
}

/** As readback_pruner. What it held; null where its replica owes no more than `moreThanBytes`, or was gone already. */
export async function giveUpSlot(primary: Sql, name: string, moreThanBytes: number): Promise<number | null> {
  const [row] = await primary<[{ held: number | null }]>`
    select readback.give_up_slot(${name}, ${moreThanBytes}) as held`;
  return row.held;
}
