import type { Sql } from '../connect.ts';

/** A slot of ours on the primary, which keeps what its replica has yet to apply. */
export interface Slot {
  name: string;
  /** A replica reads from it now. */
  isActive: boolean;
  /** PostgreSQL's word: reserved, extended, unreserved or lost; null: it holds nothing yet. */
  walStatus: string | null;
  /** WAL that is kept for it; null where it is lost. */
  heldBytes: number | null;
  /** Of that, what its replica has not confirmed yet; open transactions keep the rest. */
  owedBytes: number | null;
  /** WAL that may still be written before the primary gives it up; null where that has no limit, or it is lost. */
  safeBytes: number | null;
  /** What the primary keeps for a slot at most; null: no limit. */
  limitBytes: number | null;
  /** Null where it is active, and before PostgreSQL 17. */
  inactiveSince: string | null;
  /** Why the primary has given it up, from PostgreSQL 17 on. */
  invalidationReason: string | null;
  /** It is kept on standbys, too; null: this version has no such slots, or it was not asked. */
  isFailover: boolean | null;
}

const limitBytes = (sql: Sql) => sql`nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1)::float`;

/** As readback_reader. */
export function slotsSeen(primary: Sql): Promise<Slot[]> {
  return primary<Slot[]>`
    select slot as name, active as is_active, wal_status, held_bytes, owed_bytes, safe_bytes, inactive_since,
           reason as invalidation_reason, null::boolean as is_failover, ${limitBytes(primary)} as limit_bytes
    from readback.slots() order by slot`;
}

/** As whoever looks after the primary, be it set up or not. As JSON what not every version has. */
export function slotsOf(primary: Sql): Promise<Slot[]> {
  return primary<Slot[]>`
    select slot_name::text as name, active as is_active, wal_status, safe_wal_size::float as safe_bytes,
           pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float as held_bytes,
           pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float as owed_bytes,
           (to_jsonb(s) ->> 'inactive_since')::timestamptz as inactive_since,
           to_jsonb(s) ->> 'invalidation_reason' as invalidation_reason,
           (to_jsonb(s) ->> 'failover')::boolean as is_failover, ${limitBytes(primary)} as limit_bytes
    from pg_replication_slots s where database = current_database() and slot_name like 'readback\\_%' order by 1`;
}

/** As readback_pruner. What it held; null where its replica owes no more than `moreThanBytes`, or was gone already. */
export async function giveUpSlot(primary: Sql, name: string, moreThanBytes: number): Promise<number | null> {
  const [row] = await primary<[{ held: number | null }]>`
    select readback.give_up_slot(${name}, ${moreThanBytes}) as held`;
  return row.held;
}
