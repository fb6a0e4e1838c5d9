import { connect, type Sql } from '../../../database/connect.ts';
import { parseDatabaseUrl } from '../../../lib/database-url.ts';
import { PRIMARY_ROLES, REPLICA_ROLES, type Role } from '../../../setup/logins.ts';
import type { TableShape } from '../../../setup/shapes.ts';
import type { OperateConfig, OperatedServer } from '../../servers.ts';
import type { Grant, LoginFacts } from '../facts.ts';

export async function missingRoles(sql: Sql, roles: Role[]): Promise<string[]> {
  const rows = await sql<{ rolname: string }[]>`select rolname from pg_roles where rolname in ${sql(roles)}`;
  return roles.filter((role) => !rows.some(({ rolname }) => rolname === role));
}

/** Connects as the server does, and takes on each role as it does. */
export async function lookAtLogin(
  { urls, name }: OperatedServer,
  roles: Role[],
  config: OperateConfig,
): Promise<LoginFacts> {
  const login = { name: parseDatabaseUrl(urls.url).user ?? '', isSuperuser: false, lacks: [] };
  const sql = connect(urls.url, {
    max: 1,
    connectTimeoutMs: config.DB_CONNECT_TIMEOUT_MS,
    applicationName: `readback doctor as the login of ${name}`,
  });
  try {
    const [row] = await sql<[{ is: boolean }]>`select rolsuper as is from pg_roles where rolname = session_user`;
    return { ...login, isSuperuser: row.is, lacks: await rolesRefused(sql, roles) };
  } catch (error) {
    return { ...login, refused: (error as Error).message };
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** It may not, or there is none. */
const REFUSED = new Set(['42501', '22023', '42704']);

async function rolesRefused(sql: Sql, roles: Role[]): Promise<Role[]> {
  const refused: Role[] = [];
  for (const role of roles)
    await sql`set role ${sql(role)}`.catch((error: { code?: string }) => {
      if (!REFUSED.has(error.code ?? '')) throw error;
      refused.push(role);
    });
  return refused;
}

/** What the roles must be allowed to do on the primary; what a role may write besides is the migrations' to say. */
export function grantsOfPrimary(published: TableShape[]): Grant[] {
  const users = (['readback_writer', 'readback_reader'] as const).flatMap((role) => [
    ...['identity()', 'seen()', 'slots()', 'timelines()'].map((name) => execute(role, name)),
    ...tablesOf(published).flatMap(({ table, columns }) => columns.map(({ name }) => on(role, 'SELECT', table, name))),
  ]);
  return [
    ...PRIMARY_ROLES.map(schema),
    ...users,
    on('readback_writer', 'UPDATE', HEARTBEAT, null),
    execute('readback_writer', 'note_seen(text, bigint, pg_lsn, boolean)'),
    on('readback_reader', 'SELECT', 'readback.seen_positions', null),
    execute('readback_pruner', 'give_up_slot(text, bigint)'),
  ];
}

/** On a replica: all of every table that is read from. */
export function grantsOfReplica(tables: TableShape[]): Grant[] {
  const reader = 'readback_reader';
  return [
    ...REPLICA_ROLES.map(schema),
    ...['position()', 'seen()', 'settled()', 'missing(pg_lsn[])', 'feed_faults()'].map((name) => execute(reader, name)),
    ...tables.map(({ table }) => on(reader, 'SELECT', table, null)),
    on(reader, 'SELECT', 'readback.change_log', null),
    on(reader, 'SELECT', 'readback.log_state', null),
    execute('readback_pruner', 'prune_log(float, bigint, int)'),
    execute('readback_pruner', 'flush()'),
  ];
}

const HEARTBEAT = 'readback.heartbeat';
const tablesOf = (tables: TableShape[]) => tables.filter(({ table }) => table !== HEARTBEAT);

const schema = (role: string): Grant => ({
  role,
  privilege: 'USAGE',
  kind: 'schema',
  object: 'readback',
  column: null,
});
const execute = (role: string, name: string): Grant => ({
  role,
  privilege: 'EXECUTE',
  kind: 'function',
  object: `readback.${name}`,
  column: null,
});
const on = (role: string, privilege: string, object: string, column: string | null): Grant => ({
  role,
  privilege,
  kind: 'table',
  object,
  column,
});

/** Those of the grants that are not there. Of a role or object that is missing itself nothing is said: that is told already. */
export function missingGrants(sql: Sql, wanted: Grant[]): Promise<Grant[]> {
  return sql<Grant[]>`
    select w.* from jsonb_to_recordset(${sql.json(wanted as never)})
      as w(role text, privilege text, kind text, object text, "column" text)
    join pg_roles r on r.rolname = w.role
    where not coalesce(case
      when kind = 'schema' then has_schema_privilege(r.oid, to_regnamespace(object), privilege)
      when kind = 'function' then has_function_privilege(r.oid, to_regprocedure(object), privilege)
      when "column" is null then has_table_privilege(r.oid, to_regclass(object), privilege)
      else has_column_privilege(r.oid, to_regclass(object), "column", privilege) end, true)`;
}
