import type { Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import type { Server } from './requirements.ts';

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
