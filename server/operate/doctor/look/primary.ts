import type { Sql } from '../../../database/connect.ts';
import { wordsOf } from '../../../lib/complaints.ts';
import { identitiesOf } from '../../../setup/identities.ts';
import { publishedBy, shapesOf } from '../../../setup/shapes.ts';
import type { LongTransaction, PrimaryDetails, Slot } from '../facts.ts';

/** The primary of version 15 or later, as a superuser sees it. */
export async function lookAtPrimary(sql: Sql, longTransactionMs: number): Promise<PrimaryDetails> {
  const [publication] = await sql<NonNullable<PrimaryDetails['publication']>[]>`
    select pubinsert as insert, pubupdate as update, pubdelete as delete, pubtruncate as truncate
    from pg_publication where pubname = 'readback'`;
  const [limits] = await sql<[Pick<PrimaryDetails, 'maxSlotWalKeepSize' | 'idleSlotTimeoutS' | 'standbySlots'>]>`
    select (select setting::int from pg_settings where name = 'max_slot_wal_keep_size') as max_slot_wal_keep_size,
           current_setting('synchronized_standby_slots', true) as standby_slots,
           extract(epoch from nullif(current_setting('idle_replication_slot_timeout', true), '')::interval)::float as idle_slot_timeout_s`;
  const published = await publishedBy(sql);
  return {
    publication: publication ?? null,
    published,
    whole: await shapesOf(
      sql,
      published.map(({ table }) => table),
    ),
    withoutIdentity: await withoutIdentity(sql),
    slots: await slotsOf(sql),
    ...limits,
    transactions: await longTransactions(sql, longTransactionMs),
    timelines: await timelinesRefused(sql),
    hidden: [],
    identities: await identitiesOf(
      sql,
      published.map(({ table }) => table),
    ),
  };
}

/** Neither a key, nor an index in its place, nor the whole row: an update or a delete there is an error. */
async function withoutIdentity(sql: Sql): Promise<string[]> {
  const rows = await sql<{ table: string }[]>`
    select format('%I.%I', p.schemaname, p.tablename) as table from pg_publication_tables p
    join pg_class c on c.oid = format('%I.%I', p.schemaname, p.tablename)::regclass
    where p.pubname = 'readback' and case c.relreplident
      when 'f' then false
      when 'd' then not exists (select from pg_index where indrelid = c.oid and indisprimary)
      when 'i' then not exists (select from pg_index where indrelid = c.oid and indisreplident)
      else true end
    order by 1`;
  return rows.map(({ table }) => table);
}

/** They stand in a file of the server's, which it reads as the owner of the function. */
async function timelinesRefused(sql: Sql): Promise<PrimaryDetails['timelines']> {
  const [row] = await sql<{ owner: string }[]>`
    select proowner::regrole::text as owner from pg_proc where oid = to_regprocedure('readback.timelines()')`;
  if (!row) return null;
  try {
    await sql`select from readback.timelines()`;
    return null;
  } catch (error) {
    return { refused: wordsOf(error), owner: row.owner };
  }
}

/** All of Readback's in this database. As JSON, since the reason is there from PostgreSQL 17 on. */
export function slotsOf(sql: Sql): Promise<Slot[]> {
  return sql<Slot[]>`
    select slot_name::text as name, active as is_active, wal_status,
           pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float as held_bytes,
           safe_wal_size::float as safe_bytes, to_jsonb(s) ->> 'invalidation_reason' as invalidation_reason,
           (to_jsonb(s) ->> 'failover')::boolean as is_failover
    from pg_replication_slots s where database = current_database() and slot_name like 'readback\\_%' order by 1`;
}

/** They keep WAL from being let go, and a table's copy from beginning. Other databases' do, too. */
function longTransactions(sql: Sql, longerThanMs: number): Promise<LongTransaction[]> {
  return sql<LongTransaction[]>`
    select * from (
      select pid, format('%s of %s, %s', nullif(application_name, ''), usename, state) as what,
             extract(epoch from clock_timestamp() - xact_start)::float * 1000 as ms
      from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
        and (backend_xid is not null or backend_xmin is not null)
      union all
      select null, format('prepared as %s by %s', gid, owner), extract(epoch from clock_timestamp() - prepared)::float * 1000
      from pg_prepared_xacts
    ) open where ms > ${longerThanMs} order by ms desc limit 10`;
}
