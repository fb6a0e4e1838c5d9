import type { Sql } from '../connect.ts';
import { formatLsn, parseLsn, type Lsn } from '../../lib/lsn.ts';

/** What the replica says of positions that were seen there. */
export interface Proof {
  /** Of its change log: another one after each copy. */
  logId: bigint;
  /** Where its latest transaction ended, once that can be read; null: it is inside one. */
  settled: Lsn | null;
  /** The first of the positions that it has no more, though it has applied what came after it. */
  missing: Lsn | null;
}

/** What servers have noted of a replica on the primary. */
export interface Noted {
  logId: bigint;
  positions: readonly Lsn[];
  /** One that the replica has lost for good. */
  lost: Lsn | null;
}

/** Of the primary: up to where all that was committed is on its disk. */
export async function flushedOn(primary: Sql): Promise<Lsn> {
  const [row] = await primary<[{ flushed: Lsn }]>`select pg_current_wal_flush_lsn() as flushed`;
  return row.flushed;
}

/** What the replica has applied for certain; null: that is not known. */
export async function appliedOn(replica: Sql): Promise<Lsn | null> {
  const [row] = await replica<[{ applied: Lsn | null }]>`select applied from readback.position()`;
  return row.applied;
}

/** On a replica, as readback_reader. The origin is read first: what it says is there is in the lives that are read after it. */
export async function proofOf(replica: Sql, positions: readonly Lsn[]): Promise<Proof> {
  const list = `{${positions.map(formatLsn).join()}}`;
  const [row] = await replica<[Omit<Proof, 'logId'> & { logId: string }]>`
    select log_id::text, readback.settled() as settled, readback.missing(${list}) as missing from readback.log_state`;
  return { ...row, logId: BigInt(row.logId) };
}

/** On the primary, as readback_reader. Undefined: nothing is noted of that slot. */
export async function notedOf(primary: Sql, slot: string): Promise<Noted | undefined> {
  const [row] = await primary<[{ logId: string; positions: string[]; lost: Lsn | null }?]>`
    select log_id::text, to_json(positions) as positions, lost from readback.seen_positions where slot = ${slot}`;
  return row && { ...row, logId: BigInt(row.logId), positions: row.positions.map(parseLsn) };
}

/** On the primary, as readback_writer. */
export async function noteSeen(primary: Sql, slot: string, logId: bigint, at: Lsn, isLost: boolean): Promise<void> {
  await primary`select readback.note_seen(${slot}, ${String(logId)}, ${primary.typed.lsn(at)}, ${isLost})`;
}

/** On a replica, as readback_pruner: what is committed there is on its disk. */
export async function flush(replica: Sql): Promise<void> {
  await replica`select readback.flush()`;
}
