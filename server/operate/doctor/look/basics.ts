import type { Sql } from '../../../database/connect.ts';
import type { Basics, Clock, Limit } from '../facts.ts';

/** Made by the first migration of one side, and not of the other. */
const MARKS = { primary: 'readback.slots', replica: 'readback.prune_log' };

/** What every version answers to anybody. */
export async function lookAtBasics(sql: Sql, side: keyof typeof MARKS): Promise<Basics> {
  const [basics] = await sql<[Basics]>`
    select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
           current_setting('track_commit_timestamp') as track_commit_timestamp,
           (select rolsuper from pg_roles where rolname = current_user) as is_superuser,
           pg_is_in_recovery() as is_standby,
           (select system_identifier from pg_control_system()) || '/' || current_database() as identity,
           to_regproc(${MARKS[side]}) is not null as is_set_up`;
  return basics;
}

const ROUNDS = 3;
/** By this machine's clock, which does not jump meanwhile. */
const now = () => performance.timeOrigin + performance.now();

/** It was read somewhere between question and answer: the quickest round trip tells it best. */
export async function lookAtClock(sql: Sql): Promise<Clock> {
  let best: Clock = { least: -Infinity, most: Infinity };
  for (let round = 0; round < ROUNDS; round++) {
    const asked = now();
    const [{ at }] = await sql<[{ at: number }]>`select extract(epoch from clock_timestamp())::float * 1000 as at`;
    const found = { least: at - now(), most: at - asked };
    if (found.most - found.least < best.most - best.least) best = found;
  }
  return best;
}

/** Of the primary: what each replica takes one of. */
export async function lookAtSenders(sql: Sql): Promise<Limit[]> {
  return limitsOf(
    sql,
    sql`values ('max_replication_slots', (select count(*) from pg_replication_slots)),
               ('max_wal_senders', (select count(*) from pg_stat_activity where backend_type = 'walsender'))`,
  );
}

/** Of a replica: what a subscription takes one of, and one for each table while it is copied. */
export async function lookAtWorkers(sql: Sql): Promise<Limit[]> {
  return limitsOf(
    sql,
    sql`values ('max_logical_replication_workers', (select count(*) from pg_stat_subscription where pid is not null)),
               ((select name from pg_settings where name in ('max_active_replication_origins', 'max_replication_slots') order by 1 limit 1),
                (select count(*) from pg_replication_origin_status))`,
  );
}

function limitsOf(sql: Sql, counts: ReturnType<Sql>): Promise<Limit[]> {
  return sql<Limit[]>`
    select setting, current_setting(setting)::int as most, used::int from (${counts}) as counts(setting, used)`;
}
