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

/** Sessions that are held open, one beside the other, to find whether the first one's process is handed to them. */
const HELD = 3;

/**
 * Whether something between here and PostgreSQL hands a session's process to others between its transactions. A proxy
 * that gives each session a process of its own is none, though it greets with another process id than PostgreSQL's.
 * @param sql One connection, and `open` gives further ones to the same address.
 */
export async function isPooled(sql: Sql, open: () => Sql): Promise<boolean> {
  const asked = sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  const [{ pid: first }] = await asked;
  if ((asked as unknown as { state: { pid: number } }).state.pid === first) return false;
  const others: Sql[] = [];
  try {
    for (let count = 0; count < HELD; count++) {
      const other = open();
      others.push(other);
      const held = await other.reserve();
      await held`begin`;
      if ((await processOf(held)) === first || (await processOf(sql)) !== first) return true;
    }
    return false;
  } finally {
    await Promise.all(others.map((other) => other.end({ timeout: 0 })));
  }
}

async function processOf(sql: Sql | Awaited<ReturnType<Sql['reserve']>>): Promise<number> {
  const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  return pid;
}
