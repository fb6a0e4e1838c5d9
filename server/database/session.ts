import type { Sql } from './connect.ts';
import type { SessionSettings } from './settings.ts';

/** The settings that the session does not have, each as `name is …, not …`. */
export async function missingSettings(sql: Sql, settings: SessionSettings): Promise<string[]> {
  const rows = await sql<{ name: string; value: string }[]>`
    select name, coalesce(
        (select setting from pg_settings s where lower(s.name) = lower(n.name)), current_setting(n.name, true)) as value
    from jsonb_array_elements_text(${sql.json(Object.keys(settings))}) as n(name)`;
  return rows
    .filter(({ name, value }) => value !== settings[name])
    .map(({ name, value }) => `${name} is ${value}, not ${settings[name]}`);
}

/** What the session's login may do beyond the role, or lacks of it: a pooler keeps no role that a session has taken on. */
export async function wrongRights(sql: Sql, role: string): Promise<string[]> {
  const [row] = await sql<[{ login: string; super: boolean; has: boolean; others: string[] }]>`
    select session_user as login, rolsuper as super, pg_has_role(oid, ${role}, 'usage') as has, array_to_json(array(
        select r.rolname::text from pg_roles r
        where r.rolname <> ${role} and r.oid <> u.oid and pg_has_role(u.oid, r.oid, 'member') order by 1)) as others
    from pg_roles u where rolname = session_user`;
  if (row.super) return [`its login ${row.login} is a superuser`];
  return [
    ...(row.has ? [] : [`its login ${row.login} is no member of ${role}`]),
    ...(row.others.length > 0 ? [`its login ${row.login} may take on ${row.others.join(', ')}, too`] : []),
  ];
}

/** True where something between here and PostgreSQL hands sessions out: the session's process is not the one greeted by. */
export async function isPooled(sql: Sql): Promise<boolean> {
  const asked = sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  const [{ pid }] = await asked;
  return (asked as unknown as { state: { pid: number } }).state.pid !== pid;
}
