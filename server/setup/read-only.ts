import type { Sql } from '../database/connect.ts';

/** Transactions of the subscription's owner are read-only, so its apply worker cannot write. */
export interface ReadOnly {
  owner: string;
  /** What says so, in SQL's words: `database shop`. */
  where: string;
}

/** As PostgreSQL looks for a setting of a session: of the login in the database, of the login, of the database, of all. */
export async function readOnlyOn(replica: Sql): Promise<ReadOnly | null> {
  const [row] = await replica<[{ owner: string; where: string; isOn: boolean }?]>`
    select o.rolname::text as owner, f.place as where, f.value::boolean as is_on
    from pg_subscription s join pg_roles o on o.oid = s.subowner join pg_database d on d.oid = s.subdbid
    cross join lateral (
      select split_part(line, '=', 2) as value, case
          when setrole <> 0 and setdatabase <> 0 then format('role %I in database %I', o.rolname, d.datname)
          when setrole <> 0 then format('role %I', o.rolname)
          when setdatabase <> 0 then format('database %I', d.datname)
          else 'role all' end as place,
        case when setrole <> 0 and setdatabase <> 0 then 1 when setrole <> 0 then 2 when setdatabase <> 0 then 3 else 4 end as rank
      from pg_db_role_setting, unnest(setconfig) as line
      where setrole in (0, o.oid) and setdatabase in (0, d.oid) and line like 'default\\_transaction\\_read\\_only=%'
      union all
      select setting, 'system', 5 from (
        select setting from pg_file_settings where name = 'default_transaction_read_only' and error is null order by seqno desc limit 1) file
      order by rank limit 1) f
    where s.subname = 'readback' and d.datname = current_database()`;
  return row?.isOn ? { owner: row.owner, where: row.where } : null;
}

export const whatIsReadOnly = ({ owner, where }: ReadOnly): string =>
  `default_transaction_read_only is on (${where}), and holds for the apply worker, which runs as ${owner}`;
