import type { Sql } from '../../database/connect.ts';
import { formatLsn, type Lsn } from '../../lib/lsn.ts';
import type { ChangeLogReport, ClientReport, SubscriptionReport, TableReport } from './report.ts';

export async function lookAtServer(sql: Sql): Promise<{ version: string; flushed: Lsn }> {
  const [row] = await sql<[{ version: string; flushed: Lsn }]>`
    select split_part(current_setting('server_version'), ' ', 1) as version, pg_current_wal_flush_lsn() as flushed`;
  return row;
}

/** Readback's own connections name themselves; others with its login are told, too. */
export function lookAtClients(sql: Sql, login: string): Promise<ClientReport[]> {
  return sql<ClientReport[]>`
    select coalesce(nullif(application_name, ''), '(no name)') as application, usename::text as user,
           count(*)::int as connections, count(*) filter (where state <> 'idle')::int as busy
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
      and (usename = ${login} or application_name like 'readback %')
    group by 1, 2 order by 1, 2`;
}

export function lookAtPublished(sql: Sql): Promise<TableReport[]> {
  return sql<TableReport[]>`
    select format('%I.%I', p.schemaname, p.tablename) as table, coalesce(s.n_live_tup, 0)::float as rows,
           pg_total_relation_size(format('%I.%I', p.schemaname, p.tablename)::regclass)::float as bytes, null as sync
    from pg_publication_tables p
    left join pg_stat_user_tables s on s.relid = format('%I.%I', p.schemaname, p.tablename)::regclass
    where p.pubname = 'readback' order by 1`;
}

export function lookAtSubscribed(sql: Sql): Promise<TableReport[]> {
  return sql<TableReport[]>`
    select format('%I.%I', t.schemaname, t.relname) as table, t.n_live_tup::float as rows,
           pg_total_relation_size(t.relid)::float as bytes,
           case when r.srsubstate = 'r' then 'ready' else 'copying' end as sync
    from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid join pg_stat_user_tables t on t.relid = r.srrelid
    where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())
    order by 1`;
}

export interface SubscriptionLook extends SubscriptionReport {
  slot: string | null;
}

/** As JSON, since workers have a leader from PostgreSQL 16 on. */
export async function lookAtSubscription(sql: Sql): Promise<SubscriptionLook | null> {
  const [row] = await sql<SubscriptionLook[]>`
    select s.subenabled as is_enabled, s.subslotname::text as slot,
           case s.substream::text when 'p' then 'parallel' when 'f' then 'off' else 'on' end as streaming,
           w.pid as worker, w.last_msg_receipt_time as received_at,
           coalesce(e.apply_error_count, 0)::int as apply_errors, coalesce(e.sync_error_count, 0)::int as sync_errors
    from pg_subscription s
    left join pg_stat_subscription w on w.subid = s.oid and w.relid is null and to_jsonb(w) ->> 'leader_pid' is null
    left join pg_stat_subscription_stats e on e.subid = s.oid
    where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())`;
  return row ?? null;
}

interface LogRow extends Omit<ChangeLogReport, 'position' | 'prunedTo' | 'completeSince'> {
  position: Lsn | null;
  prunedTo: Lsn;
  completeSince: Lsn;
}

const NOT_SET_UP = 0xffff_ffff_ffff_ffffn;

/** Null where the database is not set up. The ends are looked up by the log's key, which is its order. */
export async function lookAtLog(sql: Sql): Promise<ChangeLogReport | null> {
  if (!(await isThere(sql, 'readback.log_state'))) return null;
  const [row] = await sql<LogRow[]>`
    select l.log_id::text, l.pruned_to, l.complete_since, newest.after_lsn as position,
           oldest.applied_at as oldest, newest.applied_at as newest,
           (select coalesce(n_live_tup, 0)::float from pg_stat_user_tables where relid = 'readback.change_log'::regclass) as rows,
           pg_total_relation_size('readback.change_log')::float as bytes
    from readback.log_state l
    left join (select applied_at from readback.change_log order by after_lsn, seq limit 1) oldest on true
    left join (select after_lsn, applied_at from readback.change_log order by after_lsn desc, seq desc limit 1) newest on true`;
  if (!row) return null;
  const { position, prunedTo, completeSince } = row;
  return {
    ...row,
    position: position === null ? null : formatLsn(position),
    prunedTo: formatLsn(prunedTo),
    completeSince: completeSince === NOT_SET_UP ? null : formatLsn(completeSince),
  };
}

export async function lookAtApplied(sql: Sql): Promise<Lsn | null> {
  if (!(await isThere(sql, 'readback.log_state'))) return null;
  const [row] = await sql<[{ applied: Lsn | null }]>`select applied from readback.position()`;
  return row.applied;
}

export async function isThere(sql: Sql, relation: string): Promise<boolean> {
  const [row] = await sql<[{ there: boolean }]>`select to_regclass(${relation}) is not null as there`;
  return row.there;
}
