import type { Fragment, Sql } from '../connect.ts';
import type { Lsn } from '../../lib/lsn.ts';
import type { Position } from '../../lib/position.ts';
import { keyIn, tableNamed, type Declaration } from '../../declare/declaration.ts';
import { idIn, parseImage, type Image } from '../../declare/images.ts';
import { identifier, joined, nameOf, textParameter } from './columns.ts';
import { ownSubscription } from './subscriptions.ts';
import { split, type Seen, type WithSeen } from './seen.ts';

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
  /** Characters of both images as JSON. */
  size: number;
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
  /** Set-up found the log to be complete from here on. */
  completeSince: Lsn;
  /** Positions from here on that another replica gave out are good here: none while tables are copied, and until that is noted. */
  othersFrom: Lsn;
  /** Whose changes it has: another one's copy brings along what is in no log. null: there is none. */
  subscription: number | null;
  /** Where the latest transaction ended; it may not be visible yet. */
  seen: Lsn;
}

/** The default of complete_since: set-up has not ended. */
export const NOT_COMPLETE = 0xffff_ffff_ffff_ffffn;

export async function logState(sql: Sql): Promise<LogState> {
  const [state] = await sql<[LogState]>`
    select log_id::text, pruned_to, complete_since, readback.seen() as seen,
      coalesce((to_jsonb(l) ->> 'subscription')::oid, own) as subscription,
      case when exists (
        select from pg_subscription_rel where srsubid = own and (srsubstate <> 'r' or srsublsn > complete_since))
      then ${sql.typed.lsn(NOT_COMPLETE)} else complete_since end as others_from
    from readback.log_state l, (select ${ownSubscription(sql)} as own) s`;
  return state;
}

/** Another subscription writes there than the log is of. Where there is none, nothing does. */
export async function isOfAnother(sql: Sql, subscription: number | null): Promise<boolean> {
  const [row] = await sql<[{ is: boolean }]>`select coalesce(${ownSubscription(sql)} <> ${subscription}, false) as is`;
  return row.is;
}

export interface ChangeRows extends Seen<ChangeRow>, Pick<LogState, 'logId' | 'prunedTo' | 'othersFrom'> {
  /** The log's subscription is there still. */
  isSubscribed: boolean;
  /** After these rows there are others already. */
  hasMore: boolean;
}

/** So many rows, however long they are. `unweighed` has it as well: with a limit that is a parameter it is planned each time. */
export const FEW = 4;

/**
 * The next rows after (lsn, seq), in the primary's commit order, with what the log's state is now. Where the limit is not
 * FEW, there are fewer where they are long: 1 MB, as the log holds them, where long images are compressed, some
 * hundredfold at most. `subscription`: the log's own.
 */
export async function changesAfter(
  sql: Sql,
  lsn: Lsn,
  seq: string,
  limit: number,
  subscription: number | null,
): Promise<ChangeRows> {
  const next = limit === FEW ? unweighed : weighed;
  const result = await next(sql, lsn, seq, limit, subscription);
  const { logId, prunedTo, othersFrom, isSubscribed } = result[0] as unknown as ChangeRows;
  const { rows, seen } = split<LoggedRow>(result, 'seq');
  rows.sort(inOrder); // as they come, for all that is known; `order by` would sort them there
  const hasMore = rows.length === limit || (rows.at(-1)?.hasNext ?? false);
  return { rows: rows.map(read), seen, logId, prunedTo, othersFrom, isSubscribed, hasMore };
}

type NextRows = WithSeen<LoggedRow & Omit<ChangeRows, 'rows' | 'seen' | 'hasMore'>>[];

/**
 * The two are most of what an event costs: each asks as little as may be, and is one text, as one that is put together of
 * parts costs more with each read than it spares here.
 */
const unweighed = (sql: Sql, lsn: Lsn, seq: string, _: number, subscription: number | null) => sql<NextRows>`
  select s.seen, l.log_id::text, l.pruned_to, c.*, exists (select from pg_subscription where oid = ${subscription}) as is_subscribed,
    case when exists (select from pg_subscription_rel where srsubid = ${subscription} and (srsubstate <> 'r' or srsublsn > l.complete_since))
    then 'FFFFFFFF/FFFFFFFF' else l.complete_since end as others_from
  from readback.seen() s(seen) join readback.log_state l on l.id = 1 left join (
    select after_lsn, seq, operation, table_name, key, former_key, before::text, after::text,
           pg_xact_commit_timestamp(xmin) as committed_at, applied_at, false as has_next
    from readback.change_log where (after_lsn, seq) > (${sql.typed.lsn(lsn)}, ${seq}) order by after_lsn, seq limit 4
  ) c on true`;

const weighed = (sql: Sql, lsn: Lsn, seq: string, limit: number, subscription: number | null) => sql<NextRows>`
  select s.seen, l.log_id::text, l.pruned_to, c.*, exists (select from pg_subscription where oid = ${subscription}) as is_subscribed,
    case when exists (select from pg_subscription_rel where srsubid = ${subscription} and (srsubstate <> 'r' or srsublsn > l.complete_since))
    then 'FFFFFFFF/FFFFFFFF' else l.complete_since end as others_from
  from readback.seen() s(seen) join readback.log_state l on l.id = 1 left join (
    select after_lsn, seq, operation, table_name, key, former_key, before::text, after::text,
           pg_xact_commit_timestamp(transaction) as committed_at, applied_at, has_next
    from (
      select c.*, sum(bytes) over w - bytes as bytes_before, lead(seq) over w is not null as has_next
      from (
        select c.*, xmin as transaction, coalesce(pg_column_size(before), 0) + coalesce(pg_column_size(after), 0) as bytes
        from readback.change_log c where (after_lsn, seq) > (${sql.typed.lsn(lsn)}, ${seq}) order by after_lsn, seq limit ${limit}
      ) c window w as (order by after_lsn, seq rows unbounded preceding)
    ) c where bytes_before < 1048576
  ) c on true`;

function inOrder(a: LoggedRow, b: LoggedRow): number {
  if (a.afterLsn !== b.afterLsn) return a.afterLsn < b.afterLsn ? -1 : 1;
  return a.seq.length - b.seq.length || (a.seq < b.seq ? -1 : 1);
}

/** Images as text. */
type LoggedRow = Omit<ChangeRow, 'before' | 'after' | 'size'> & {
  before: string | null;
  after: string | null;
  hasNext: boolean;
};

function read(row: LoggedRow): ChangeRow {
  const { tableName } = row;
  const before = row.before && parseImage(tableName, row.before);
  const after = row.after && parseImage(tableName, row.after);
  const table = tableNamed(tableName);
  const change = {
    afterLsn: row.afterLsn,
    seq: row.seq,
    operation: row.operation,
    tableName,
    key: row.key,
    formerKey: row.formerKey,
    before: before || null,
    after: after || null,
    size: (row.before?.length ?? 0) + (row.after?.length ?? 0),
    committedAt: row.committedAt,
    appliedAt: row.appliedAt,
  };
  if (!table || table.isKeyText) return change;
  change.key = idIn(table, (change.after ?? change.before)!);
  if (row.formerKey !== null) change.formerKey = idIn(table, change.before!);
  return change;
}

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
      select seq, count(*) over w + count(former_key) over w as ends from readback.change_log c
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
    select after_lsn as lsn, (count(*) + count(former_key))::int as place from readback.change_log c
    where after_lsn = (select max(after_lsn) from readback.change_log) group by after_lsn`;
  return row;
}

/** More rows of one transaction are not counted, to find where in it they begin. */
const COUNTED = 100_000;

/**
 * Where the latest rows of the log begin, so many of them, or fewer where they begin inside of a large transaction;
 * undefined where there are none.
 */
export async function positionBefore(sql: Sql, latest: number): Promise<Position | undefined> {
  const [row] = await sql<{ lsn: Lsn; next: Lsn | null; place: number }[]>`
    with latest as (
      select after_lsn, seq from readback.change_log
      where after_lsn >= (select pruned_to from readback.log_state) order by after_lsn desc, seq desc limit ${latest})
    select first.after_lsn as lsn, (select min(after_lsn) from latest where after_lsn > first.after_lsn) as next, (
      select (count(*) + count(former_key))::int from (
        select former_key from readback.change_log c
        where c.after_lsn = first.after_lsn and c.seq < first.seq limit ${COUNTED + 1}) before
    ) as place from (select * from latest order by after_lsn, seq limit 1) first`;
  if (!row || row.place <= COUNTED) return row && { lsn: row.lsn, place: row.place };
  return row.next === null ? undefined : { lsn: row.next, place: 0 };
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

/** The rows of a table after one of them, in the keys' order; null: from the first. */
export async function rowsAfter(
  sql: Sql,
  table: Declaration,
  after: SnapshotImage | null,
  limit: number,
): Promise<SnapshotImage[]> {
  const key = table.key.map((column) => nameOf(sql, column));
  const bound = after && keyIn(table, after.key)!.map((text, part) => textParameter(sql, table.key[part]!, text));
  const rows = await sql<{ image: string; texts: string }[]>`
    select to_json(t.*)::text as image, ${textsOf(sql, table)} as texts from ${sql.unsafe(`${identifier(table.name)} t`)}
    where ${bound ? sql`(${joined(sql, key)}) > (${joined(sql, bound)})` : sql`true`} order by ${joined(sql, key)} limit ${limit}`;
  return rows.map((row) => {
    const image = Object.assign(parseImage(table.name, row.image), JSON.parse(row.texts));
    return { key: idIn(table, image), image };
  });
}

/** What the log's own triggers take as PostgreSQL's text. */
function textsOf(sql: Sql, { name, columns }: Declaration): Fragment {
  if (!columns.some(({ form }) => form.isMadeText)) return sql`'{}'`;
  return sql`readback.with_texts('{}', t.*, (select readback.texts_of(${identifier(name)}::text::regclass)))::text`;
}
