import type { Lsn } from '../../lib/lsn.ts';
import type { Fragment, Sql } from '../connect.ts';
import { constant } from './columns.ts';

/** Readback's subscription in a replica's database. */
export interface Subscription {
  isEnabled: boolean;
  streaming: 'off' | 'on' | 'parallel';
  /** Its synchronous_commit. */
  commit: string;
  twoPhase: boolean;
  binary: boolean;
  /** `any`, or `none`: only what was written on the primary itself. null: before PostgreSQL 16, which sends all. */
  origin: string | null;
  /** Its slot is kept on standbys, too; null: before PostgreSQL 17, which keeps none there. */
  failover: boolean | null;
  slot: string | null;
  publications: string[];
  /** Process of the apply worker, where it runs. */
  worker: number | null;
  receivedAt: string | null;
  /** Failures since the statistics were last reset. */
  applyErrors: number;
  syncErrors: number;
  /** By PostgreSQL 18's names without `confl_`; only those that happened. */
  conflicts: Record<string, number>;
}

/** A table of the subscription. */
export interface SubscribedTable {
  table: string;
  /** Its copy has ended, and it is applied with the others. */
  isReady: boolean;
  /** Rows copied so far; null: nobody is copying it now. */
  rows: number | null;
  /** Where its copy ended, on the primary. */
  copiedTo: Lsn | null;
}

/** Of the rows `s` of pg_subscription, which has those of all databases: Readback's in this one. */
const OURS = "s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())";
export const ours = (sql: Sql): Fragment => constant(sql, OURS);

/**
 * Of what anybody may see, so not of the whole row as JSON. PostgreSQL looks for a name in the innermost query first: a
 * column that its version does not have is that of `absent`. Of the statistics the row is JSON: 18 has more of them.
 */
export async function subscriptionOf(sql: Sql): Promise<Subscription | null> {
  const [row] = await sql<Subscription[]>`
    select s.subenabled as is_enabled, s.subsynccommit as commit, s.subtwophasestate <> 'd' as two_phase,
           s.subbinary as binary, s.suborigin as origin, s.subfailover as failover, s.subslotname::text as slot,
           to_json(s.subpublications) as publications, w.pid as worker, w.last_msg_receipt_time as received_at,
           case s.substream when 'p' then 'parallel' when 'f' then 'off' when 'false' then 'off' else 'on' end as streaming,
           coalesce(e.apply_error_count, 0)::int as apply_errors, coalesce(e.sync_error_count, 0)::int as sync_errors,
           (select coalesce(json_object_agg(substr(key, 7), value::float), '{}') from jsonb_each_text(to_jsonb(e))
            where key like 'confl\\_%' and value <> '0') as conflicts
    from (select null::text as suborigin, null::boolean as subfailover) absent
    cross join lateral (
      select oid, subenabled, subsynccommit, subtwophasestate, subbinary, suborigin, subfailover, subslotname, subpublications,
             substream::text as substream
      from pg_subscription s where ${ours(sql)}) s
    left join pg_stat_subscription w on w.subid = s.oid and w.relid is null and to_jsonb(w) ->> 'leader_pid' is null
    left join pg_stat_subscription_stats e on e.subid = s.oid`;
  return row ?? null;
}

/** Its oid, of which there is another once it was made again. */
export const ownSubscription = (sql: Sql): Fragment =>
  constant(sql, `(select oid from pg_subscription s where ${OURS})`);

/** Asks nothing that depends on the version. */
export async function isSubscribed(sql: Sql): Promise<boolean> {
  const rows = await sql`select from pg_subscription s where ${ours(sql)}`;
  return rows.length > 0;
}

/** How it connects, in libpq's form. It holds a password: undefined where the login may not read it. */
export async function conninfoOf(sql: Sql): Promise<string | undefined> {
  const [{ may }] = await sql<[{ may: boolean }]>`
    select has_column_privilege('pg_subscription', 'subconninfo', 'select') as may`;
  if (!may) return undefined;
  const [row] = await sql<[{ conninfo: string }?]>`
    select subconninfo as conninfo from pg_subscription s where ${ours(sql)}`;
  return row?.conninfo;
}

/** Others of the same database, by name. */
export async function otherSubscriptions(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select subname::text as name from pg_subscription
    where subname <> 'readback' and subdbid = (select oid from pg_database where datname = current_database())`;
  return rows.map(({ name }) => name);
}

export function subscribedTables(sql: Sql): Promise<SubscribedTable[]> {
  return sql<SubscribedTable[]>`
    select format('%I.%I', n.nspname, c.relname) as table, r.srsubstate = 'r' as is_ready, p.tuples_processed::float as rows,
           r.srsublsn as copied_to
    from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid
    join pg_class c on c.oid = r.srrelid join pg_namespace n on n.oid = c.relnamespace
    left join pg_stat_progress_copy p on p.relid = r.srrelid and p.datname = current_database()
    where ${ours(sql)} order by 1`;
}
