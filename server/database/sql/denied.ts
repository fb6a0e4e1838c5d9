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

/** And of Readback's own. */
const CALLED_OF_READBACK = ['after_lsn', 'applied_before', 'in_apply_worker', 'key_of', 'logs_changes', 'note_life'];

/** What a replica's apply worker may not do, and how it may. */
export interface Denied {
  /** PostgreSQL's, in the replica's log. */
  words: string;
  statement: string;
}

/**
 * Of what the apply worker needs, something that it may not: it fails at each change then, and says so in its server's log
 * alone. It runs as the owner of the subscription or, from PostgreSQL 16 on where nothing else is said, as the owner of the table.
 */
export async function deniedInWorker(replica: Sql): Promise<Denied | null> {
  const [denied] = await replica<[Denied?]>`
    with tables as (
      -- Where PostgreSQL has no such column, before 16, the subscription's owner changes all tables.
      select s.subowner, c.oid as table, c.relowner, not coalesce(s.subrunasowner, true) as is_as_table_owner
      from (select null::boolean as subrunasowner) absent
      cross join lateral (select oid, subowner, subrunasowner from pg_subscription s where ${ours(replica)}) s
      join pg_subscription_rel r on r.srsubid = s.oid join pg_class c on c.oid = r.srrelid
    ), logins as (
      select case when is_as_table_owner then relowner else subowner end as oid from tables
    ), called as (
      select to_regprocedure(name)::oid as oid from jsonb_array_elements_text(${replica.json(CALLED_IN_WORKER)}) as name
      union select oid from pg_proc
        where pronamespace = to_regnamespace('readback') and proname in ${replica(CALLED_OF_READBACK)}
    )
    select format('permission denied for function %s', p.proname) as words,
           format('grant execute on function %s to %I', p.oid::regprocedure, pg_get_userbyid(l.oid)) as statement
    from logins l, called f join pg_proc p on p.oid = f.oid
    where not has_function_privilege(l.oid, p.oid, 'execute') and not (
      -- Where the quick one is permitted, the other is not called.
      p.proname = 'pg_show_replication_origin_status'
      and has_function_privilege(l.oid, 'pg_catalog.pg_replication_origin_session_progress(boolean)', 'execute'))
    union all
    select format('role "%s" cannot SET ROLE to "%s"', pg_get_userbyid(subowner), pg_get_userbyid(relowner)),
           format('alter table %s owner to %I', t.table::regclass, pg_get_userbyid(subowner))
    from tables t where is_as_table_owner and not pg_has_role(subowner, relowner, 'set')
    order by 1, 2 limit 1`;
  return denied ?? null;
}
