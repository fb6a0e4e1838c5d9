import type { Sql } from '../connect.ts';
import { ours } from './subscriptions.ts';

/** What the triggers of the change log call in the apply worker, of PostgreSQL's functions that say or change how it stands. */
export const CALLED_IN_WORKER = [
  'clock_timestamp()',
  'current_setting(text, boolean)',
  'has_function_privilege(oid, text)',
  'pg_backend_pid()',
  'pg_notify(text, text)',
  'pg_show_replication_origin_status()',
  'pg_stat_get_activity(integer)',
  'pg_stat_get_subscription(oid)',
  'set_config(text, text, boolean)',
];

/** A function, with its arguments, that a login may not call. */
export interface Denied {
  called: string;
  login: string;
}

/**
 * Of the functions that a replica's apply worker calls, one that it may not: it fails at every change then, and says so in
 * its server's log alone. It runs as the owner of the subscription or, from PostgreSQL 16 on, of the table.
 */
export async function deniedInWorker(replica: Sql): Promise<Denied | null> {
  const [denied] = await replica<[Denied?]>`
    with logins as (
      select s.subowner as oid from pg_subscription s where ${ours(replica)}
      union select c.relowner from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid
        join pg_class c on c.oid = r.srrelid where ${ours(replica)}
    ), called as (
      select to_regprocedure(name)::oid as oid from jsonb_array_elements_text(${replica.json(CALLED_IN_WORKER)}) as name
      union select oid from pg_proc where pronamespace = to_regnamespace('readback')
    )
    select p.oid::regprocedure::text as called, quote_ident(pg_get_userbyid(l.oid)) as login
    from logins l, called f join pg_proc p on p.oid = f.oid
    where not has_function_privilege(l.oid, p.oid, 'execute') and not (
      -- Where the quick one is permitted, the other is not called.
      p.proname = 'pg_show_replication_origin_status'
      and has_function_privilege(l.oid, 'pg_catalog.pg_replication_origin_session_progress(boolean)', 'execute'))
    order by 1, 2 limit 1`;
  return denied ?? null;
}

/** In PostgreSQL's words, which has named the function so in the replica's log. */
export const denialInWords = ({ called, login }: Denied): string =>
  `permission denied for function ${called.replace(/^(?:readback\.)?(.*)\(.*$/, '$1')} to ${login}`;
