import type { Fragment, Sql, Statement } from '../connect.ts';
import type { Lsn } from '../../lib/lsn.ts';
import type { Position } from '../../lib/position.ts';
import { split, type Seen, type WithSeen } from './seen.ts';

/** A row as JSON, by column names. */
export type Image = Record<string, unknown>;

/** A row of a replica's change log. */
export interface ChangeRow {
  /** Where the transaction before this one ended on the primary. */
  afterLsn: Lsn;
  seq: string;
  operation: 'INSERT' | 'UPDATE' | 'DELETE';
  tableName: string;
  key: string;
  /** The key before, where an update has changed it: then the row counts as two changes. */
  formerKey: string | null;
  before: Image | null;
  after: Image | null;
  /** On the primary; null where the replica does not keep commit timestamps that far back. */
  committedAt: string | null;
  appliedAt: string;
}

/** What a replica's log holds. */
export interface LogState {
  /** Changes when the log starts again. */
  logId: string;
  /** Every change of a transaction at or past it is there. */
  prunedTo: Lsn;
  /** Positions from here on that another replica gave out are good here. */
  completeSince: Lsn;
  /** Where the latest transaction ended; it may not be visible yet. */
  seen: Lsn;
}

/** The default of complete_since: set-up has not ended. */
export const NOT_COMPLETE = 0xffff_ffff_ffff_ffffn;

export async function logState(sql: Sql): Promise<LogState> {
  const [state] = await sql<[LogState]>`
    select log_id::text, pruned_to, complete_since, readback.seen() as seen from readback.log_state`;
  return state;
}

export interface ChangeRows extends Seen<ChangeRow> {
  logId: string;
  prunedTo: Lsn;
}

/** The next rows after (lsn, seq), in the primary's commit order. */
export async function changesAfter(sql: Sql, lsn: Lsn, seq: string, limit: number): Promise<ChangeRows> {
  const read = await rowsOfLog(sql, lsn, seq, limit, sql`null`);
  // To look for keys in the images costs each read more than all else; here it is seldom needed.
  return read.rows.some(mayHaveMoved) ? rowsOfLog(sql, lsn, seq, limit, formerKey(sql)) : read;
}

async function rowsOfLog(sql: Sql, lsn: Lsn, seq: string, limit: number, former: Fragment): Promise<ChangeRows> {
  const result = await sql<WithSeen<ChangeRow & Pick<LogState, 'logId' | 'prunedTo'>>[]>`
    select s.seen, l.log_id::text, l.pruned_to, c.* from readback.seen() s(seen) join readback.log_state l on l.id = 1 left join (
      select after_lsn, seq, operation, table_name, key, ${former} as former_key, before, after,
             pg_xact_commit_timestamp(xmin) as committed_at, applied_at
      from readback.change_log c where (after_lsn, seq) > (${sql.typed.lsn(lsn)}, ${seq}) order by after_lsn, seq limit ${limit}
    ) c on true order by c.after_lsn, c.seq`;
  const { logId, prunedTo } = result[0] as unknown as LogState;
  return { ...split(result, 'seq'), logId, prunedTo };
}

/**
 * False where the key is the same for certain, whichever column it is: each that holds it now has held it before. Numbers
 * may have lost digits in JSON, so that two keys look like one.
 */
function mayHaveMoved({ operation, key, before, after }: ChangeRow): boolean {
  if (operation !== 'UPDATE' || !before || !after) return false;
  const isKey = (value: unknown) => value === key || (typeof value === 'number' && value === Number(key));
  const holders = Object.keys(after).filter((column) => isKey(after[column]));
  return (
    holders.length === 0 || holders.some((column) => before[column] !== after[column] || String(after[column]) !== key)
  );
}

/**
 * The key that an update of alias c has changed; null of every other row. The log has the new one alone, so it is looked
 * up in the image, by the column that the table's trigger logs by; of a table that has none any more it was `id`. The
 * triggers are read once a statement, where it comes upon an update.
 */
const formerKey = (sql: Sql): Fragment => sql`
  case when c.operation = 'UPDATE' then nullif(c.before ->> coalesce((
    select jsonb_object_agg(r.relname, convert_from(substring(t.tgargs from 1 for position('\\x00' in t.tgargs) - 1), getdatabaseencoding()))
    from pg_trigger t join pg_class r on r.oid = t.tgrelid
    where t.tgname = 'readback_change' and t.tgnargs = 1) ->> c.table_name, 'id'), c.key) end`;

/** A row of the log, and the place of the last change that it counts as. */
export interface RowEnd {
  seq: string;
  place: number;
}

/**
 * The row after which the one is read that has the position's next change: the row that ends at the position or, where
 * that lies between the two changes of one row, the one before. Undefined where the position's own change is not there.
 */
export async function rowEndAt(sql: Sql, { lsn, place }: Position): Promise<RowEnd | undefined> {
  const [row] = await sql<RowEnd[]>`
    select seq - (ends - ${place}) as seq, ${place} - (ends - ${place})::int as place from (
      select seq, count(*) over w + count(${formerKey(sql)}) over w as ends from readback.change_log c
      where after_lsn = ${sql.typed.lsn(lsn)} window w as (order by seq rows unbounded preceding) order by seq limit ${place}
    ) r where ends >= ${place} order by r.ends limit 1`;
  return row;
}

/** Where the replica's latest transaction ended, once it can be read; null: it is inside one, or has applied none. */
export async function settledPosition(sql: Sql): Promise<Lsn | null> {
  const [row] = await sql<[{ settled: Lsn | null }]>`select readback.settled() as settled`;
  return row.settled;
}

/** The last change in the log that can be read; undefined where it is empty. */
export async function lastPosition(sql: Sql): Promise<Position | undefined> {
  const [row] = await sql<{ lsn: Lsn; place: number }[]>`
    select after_lsn as lsn, (count(*) + count(${formerKey(sql)}))::int as place from readback.change_log c
    where after_lsn = (select max(after_lsn) from readback.change_log) group by after_lsn`;
  return row;
}

/** Why the log cannot be trusted; empty where it can. */
export async function feedFaults(sql: Sql): Promise<string[]> {
  const rows = await sql<{ fault: string }[]>`select fault from readback.feed_faults() as fault`;
  return rows.map(({ fault }) => fault);
}

/** Deletes at most about `most` rows past their time or the log's size. Returns how many. Needs readback_pruner. */
export async function pruneLog(sql: Sql, keepHours: number, keepBytes: number, most: number): Promise<number> {
  const [row] = await sql<[{ pruned: number }]>`
    select readback.prune_log(${keepHours}, ${keepBytes}, ${most}) as pruned`;
  return row.pruned;
}

export interface SnapshotImage {
  key: string;
  image: Image;
}

/** The rows of a table after a key, in the keys' order; null: from the first. */
export function rowsAfter(
  sql: Sql,
  table: string,
  keyColumn: string,
  after: string | null,
  limit: number,
): Statement<SnapshotImage> {
  const key = sql(`t.${keyColumn}`);
  return sql<SnapshotImage[]>`
    select ${key}::text as key, to_jsonb(t) as image from ${sql(table)} t
    where ${after === null ? sql`true` : sql`${key} > ${after}`} order by ${key} limit ${limit}`;
}
