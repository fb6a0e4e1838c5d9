import type { Sql } from '../db/connect.ts';
import type { Lsn } from '../lib/lsn.ts';
import { split, type Seen, type WithSeen } from './seen.ts';

export type Image = Record<string, unknown>;

/** A row of a replica's change log. */
export interface ChangeRow {
  seq: string;
  /** Where the transaction before this one ended on the primary. */
  afterLsn: Lsn;
  operation: 'INSERT' | 'UPDATE' | 'DELETE';
  tableName: string;
  key: string;
  before: Image | null;
  after: Image | null;
  /** On the primary; null where the replica does not keep commit timestamps that far back. */
  committedAt: string | null;
  appliedAt: string;
}

/** The next rows behind `seq`, in the primary's commit order. */
export async function changesAfter(sql: Sql, seq: string, limit: number): Promise<Seen<ChangeRow>> {
  const result = await sql<WithSeen<ChangeRow>[]>`
    select s.seen, c.* from readback.seen() s(seen) left join (
      select seq, after_lsn, operation, table_name, key, before, after,
             pg_xact_commit_timestamp(xmin) as committed_at, applied_at
      from readback.change_log where seq > ${seq} order by seq limit ${limit}
    ) c on true order by c.seq`;
  return split(result, 'seq');
}

/** The end of the log now. */
export async function lastSeq(sql: Sql): Promise<string> {
  const [row] = await sql<[{ seq: string }]>`select coalesce(max(seq), 0)::text as seq from readback.change_log`;
  return row.seq;
}
