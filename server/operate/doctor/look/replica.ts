import type { Sql } from '../../../database/connect.ts';
import { identitiesOf } from '../../../setup/identities.ts';
import { readOnlyOn } from '../../../setup/read-only.ts';
import { hiddenFrom } from '../../../setup/row-security.ts';
import { shapesOf } from '../../../setup/shapes.ts';
import type { ReplicaDetails, SubscribedTable, Trigger, Writer } from '../facts.ts';
import { lookAtSubscription, otherSubscriptions } from './subscription.ts';

/** A replica of version 15 or later, that is set up, as a superuser sees it. */
export async function lookAtReplica(sql: Sql, published: string[], timeoutMs: number): Promise<ReplicaDetails> {
  const subscribed = await subscribedTables(sql);
  const watched = await watchedTables(sql);
  const tables = [...new Set([...published, ...subscribed.map(({ table }) => table), ...watched])];
  const [log] = await sql<[{ isReady: boolean; mayLose: boolean }?]>`
    select complete_since < 'FFFFFFFF/FFFFFFFF' as is_ready, coalesce((to_jsonb(l) ->> 'may_lose')::boolean, false) as may_lose
    from readback.log_state l`;
  const faults = await sql<{ fault: string }[]>`select fault from readback.feed_faults() as fault`;
  return {
    subscription: await lookAtSubscription(sql, timeoutMs),
    others: await otherSubscriptions(sql),
    subscribed,
    watched,
    shapes: await shapesOf(sql, tables),
    triggers: await triggersOf(sql, tables),
    writers: await writersInto(sql, [...tables, 'readback.change_log', 'readback.log_state']),
    isLogReady: log?.isReady ?? false,
    mayLose: log?.mayLose ?? false,
    missing: null,
    identities: await identitiesOf(sql, tables),
    readOnly: await readOnlyOn(sql),
    hidden: await hiddenFrom(sql, tables, ['readback_reader']),
    feedFaults: faults.map(({ fault }) => fault),
  };
}

/** `r`: its copy has ended and it is applied with the others. */
export function subscribedTables(sql: Sql): Promise<SubscribedTable[]> {
  return sql<SubscribedTable[]>`
    select format('%I.%I', n.nspname, c.relname) as table, r.srsubstate = 'r' as is_ready, p.tuples_processed::float as rows
    from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid
    join pg_class c on c.oid = r.srrelid join pg_namespace n on n.oid = c.relnamespace
    left join pg_stat_progress_copy p on p.relid = r.srrelid and p.datname = current_database()
    where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())
    order by 1`;
}

async function watchedTables(sql: Sql): Promise<string[]> {
  const rows = await sql<{ table: string }[]>`
    select distinct format('%I.%I', n.nspname, c.relname) as table
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
    where t.tgfoid = 'readback.log_change'::regproc order by 1`;
  return rows.map(({ table }) => table);
}

function triggersOf(sql: Sql, tables: string[]): Promise<Trigger[]> {
  return sql<Trigger[]>`
    select t.name as table, g.tgname::text as name, g.tgenabled::text as enabled
    from jsonb_array_elements_text(${sql.json(tables)}) as t(name)
    join pg_trigger g on g.tgrelid = to_regclass(t.name) and not g.tgisinternal`;
}

/** Superusers may always, and are not listed. Of the log_state the pruner's function writes, as its owner. */
function writersInto(sql: Sql, tables: string[]): Promise<Writer[]> {
  return sql<Writer[]>`
    select t.name as table, case when acl.grantee = 0 then 'public' else acl.grantee::regrole::text end as role,
           json_agg(acl.privilege_type order by 1) as privileges
    from jsonb_array_elements_text(${sql.json(tables)}) as t(name)
    join pg_class c on c.oid = to_regclass(t.name), aclexplode(c.relacl) acl
    where acl.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') and acl.grantee <> c.relowner
    group by 1, 2 order by 1, 2`;
}
