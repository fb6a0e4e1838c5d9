import type { Sql } from '../database/connect.ts';
import { ours } from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { runFormatted } from './logins.ts';
import type { Server } from './servers.ts';
import { publishedTables } from './shapes.ts';

/** Settings by which changes cannot be applied: the doctor undoes them without loss. */
export async function sayWhatStops(primary: Server, replica: Server, say: Say): Promise<void> {
  const tables = await publishedTables(primary.admin);
  const unlike = mismatches(await identitiesOf(primary.admin, tables), await identitiesOf(replica.admin, tables));
  const readOnly = await readOnlyOn(replica.admin);
  for (const one of [...unlike.map(whatDiffers), ...(readOnly ? [whatIsReadOnly(readOnly)] : [])])
    say(`${replica.name} (${replica.at}): ${one}. Run readback doctor --fix.`);
}

/** By which columns a side knows the rows that updates and deletes are of. */
export interface ReplicaIdentity {
  table: string;
  /** It stands in the place of the primary key; null: it is the key, or the whole row. */
  index: string | null;
  /** null: the whole row. */
  columns: string[] | null;
}

export function identitiesOf(sql: Sql, tables: readonly string[]): Promise<ReplicaIdentity[]> {
  return sql<ReplicaIdentity[]>`
    select t.name as table, case when c.relreplident = 'i' then i.indexrelid::regclass::text end as index,
           case when c.relreplident <> 'f' then (
             select coalesce(json_agg(a.attname order by a.attname), '[]') from pg_attribute a
             where a.attrelid = c.oid and a.attnum = any(i.indkey)) end as columns
    from jsonb_array_elements_text(${sql.json([...tables])}) as t(name)
    join pg_class c on c.oid = to_regclass(t.name)
    left join pg_index i on i.indrelid = c.oid and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end
    order by 1`;
}

export interface Mismatch {
  table: string;
  /** Whose identity is another one than the primary key. */
  side: 'primary' | 'replica';
  index: string;
  columns: string[];
}

/**
 * The primary sends the columns of its identity with an update or a delete, and the replica looks for the row by those of
 * its own: where it does not get them all, the apply worker fails. Of the whole row it gets everything, and one that knows
 * rows as a whole looks for them by its key. Pure.
 */
export function mismatches(sent: readonly ReplicaIdentity[], taking: readonly ReplicaIdentity[]): Mismatch[] {
  return sent.flatMap(({ table, index, columns }) => {
    const own = taking.find((other) => other.table === table);
    if (!own?.columns || !columns || own.columns.every((column) => columns.includes(column))) return [];
    const side = index === null ? 'replica' : 'primary';
    const odd = index === null ? own : { index, columns };
    return odd.index === null ? [] : [{ table, side, index: odd.index, columns: odd.columns! }];
  });
}

export const whatDiffers = ({ table, index, columns, side }: Mismatch): string =>
  `rows of ${table} are known by the index ${index} (${columns.join(', ')}) ${side === 'primary' ? 'here, and the replica looks for them by another key' : 'here, and the primary sends another key'}`;

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
      select setting, 'system', 5 from pg_settings where name = 'default_transaction_read_only' and source in ('configuration file', 'command line')
      order by rank limit 1) f
    where ${ours(replica)}`;
  return row?.isOn ? { owner: row.owner, where: row.where } : null;
}

export const whatIsReadOnly = ({ owner, where }: ReadOnly): string =>
  `default_transaction_read_only is on (${where}), and holds for the apply worker, which runs as ${owner}`;

/** Row level security would show the role a part of the table, or nothing. */
export interface Hidden {
  table: string;
  role: string;
}

/**
 * Superusers and roles with BYPASSRLS see all, and so do owners, where it is not forced. Whatever the policies let
 * through, a session with row_security = off is refused: so it is looked at whether there is any. A role that is not
 * there yet will be an ordinary one.
 */
export function hiddenFrom(sql: Sql, tables: readonly string[], roles: readonly string[]): Promise<Hidden[]> {
  return sql<Hidden[]>`
    select t.name as table, r.name as role
    from jsonb_array_elements_text(${sql.json([...tables])}) as t(name)
    join pg_class c on c.oid = to_regclass(t.name) and c.relrowsecurity
    cross join jsonb_array_elements_text(${sql.json([...new Set(roles)])}) as r(name)
    left join pg_roles a on a.rolname = r.name
    where not coalesce(a.rolsuper or a.rolbypassrls, false)
      and not coalesce(pg_has_role(a.oid, c.relowner, 'usage') and not c.relforcerowsecurity, false)
    order by 1, 2`;
}

/**
 * Roles that are Readback's own are let past it: who reads which row is for the rules of declarations to say, and replicas
 * hold all rows. Writes stay under the policies. Returns the tables.
 */
export async function letPast(admin: Sql, tables: readonly string[], roles: readonly string[]): Promise<string[]> {
  const hidden = await hiddenFrom(admin, tables, roles);
  for (const role of new Set(hidden.map((one) => one.role))) {
    await runFormatted(admin, 'alter role %I bypassrls', role).catch((error: { code?: string }) => {
      // Who may not say so is told by name what to do.
      if (error.code !== INSUFFICIENT_PRIVILEGE) throw error;
    });
  }
  return [...new Set(hidden.map(({ table }) => table))];
}

const INSUFFICIENT_PRIVILEGE = '42501';

/** Nothing is to be read or copied of which a part is left out in silence. @throws SetupError */
export async function refuseHidden({ name, at, admin }: Server, tables: string[], roles: string[]): Promise<void> {
  const hidden = await hiddenFrom(admin, tables, roles);
  if (hidden.length === 0) return;
  throw new SetupError(hidden.map((one) => `${name} (${at}): ${whatIsHidden(one)}. ${toShow(one)}`).join('\n'));
}

export const whatIsHidden = ({ table, role }: Hidden): string =>
  `${table} has row level security, which holds for ${role}`;

export const toShow = ({ table, role }: Hidden): string =>
  `Run there: alter role ${role} bypassrls; or: alter table ${table} disable row level security;`;
