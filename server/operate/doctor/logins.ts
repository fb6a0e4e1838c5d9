import { join } from 'node:path';
import { withConnection, type Sql } from '../../database/connect.ts';
import { parseDatabaseUrl } from '../../lib/database-url.ts';
import { projectRoot } from '../../lib/root.ts';
import { allowLogin, makeRoles, ROLES, type Role } from '../../setup/logins.ts';
import { appliedTexts, seriesIn } from '../../setup/migrations.ts';
import type { TableShape } from '../../setup/shapes.ts';
import type { OperatedServer, Side } from '../../setup/servers.ts';
import type { SetupConfig } from '../../setup/setup.ts';
import { kind, type Finding, type Repair } from './finding.ts';
import type { ServerFacts } from './servers.ts';

/** Roles, what they may do, and the login that takes them on. */
export interface LoginFacts {
  login?: Login;
  /** Of the roles that set-up makes. */
  missingRoles?: Role[];
  missingGrants?: Grant[];
}

/** The login that the server runs as. */
interface Login {
  name: string;
  isSuperuser: boolean;
  /** Why it cannot connect. */
  refused?: string;
  /** Roles that it may not take on. */
  lacks: Role[];
}

interface Grant {
  role: Role;
  privilege: string;
  kind: 'schema' | 'function' | 'table';
  object: string;
  /** Of a table; null: the whole of it. */
  column: string | null;
}

/** `tables`: those that are published, or that a replica reads from. */
export async function lookAtLogins(
  server: OperatedServer,
  side: Side,
  tables: TableShape[],
  config: SetupConfig,
): Promise<LoginFacts> {
  return {
    login: await lookAtLogin(server, ROLES[side], config),
    missingRoles: await missingRoles(server.admin, ROLES[side]),
    missingGrants: await missingGrants(server.admin, WANTED[side](tables)),
  };
}

/** Connects as the server does, and takes on each role as it does. */
async function lookAtLogin({ urls, name }: OperatedServer, roles: Role[], config: SetupConfig): Promise<Login> {
  const login = { name: parseDatabaseUrl(urls.url).user ?? '', isSuperuser: false, lacks: [] };
  const connectTimeoutMs = config.DB_CONNECT_TIMEOUT_MS;
  const applicationName = `readback doctor as the login of ${name}`;
  try {
    return await withConnection(urls.url, { connectTimeoutMs, applicationName }, async (sql) => {
      const [row] = await sql<[{ is: boolean }]>`select rolsuper as is from pg_roles where rolname = session_user`;
      return { ...login, isSuperuser: row.is, lacks: await rolesRefused(sql, roles) };
    });
  } catch (error) {
    return { ...login, refused: (error as Error).message };
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

async function missingRoles(sql: Sql, roles: Role[]): Promise<Role[]> {
  const rows = await sql<{ rolname: string }[]>`select rolname from pg_roles where rolname in ${sql(roles)}`;
  return roles.filter((role) => !rows.some(({ rolname }) => rolname === role));
}

const schema = (role: Role): Grant => ({ role, privilege: 'USAGE', kind: 'schema', object: 'readback', column: null });
const execute = (role: Role, ...names: string[]): Grant[] =>
  names.map((name) => ({ role, privilege: 'EXECUTE', kind: 'function', object: `readback.${name}`, column: null }));
const on = (role: Role, privilege: string, object: string, column: string | null = null): Grant => ({
  role,
  privilege,
  kind: 'table',
  object,
  column,
});

const HEARTBEAT = 'readback.heartbeat';

/** What the roles must be allowed to do; what a role may write on the primary besides is the migrations' to say. */
const WANTED: Record<Side, (tables: TableShape[]) => Grant[]> = {
  primary: (tables) => [
    ...ROLES.primary.map(schema),
    ...(['readback_writer', 'readback_reader'] as const).flatMap((role) => [
      ...execute(role, 'identity()', 'seen()', 'slots()', 'timelines()'),
      ...tables
        .filter(({ table }) => table !== HEARTBEAT)
        .flatMap(({ table, columns }) => columns.map(({ name }) => on(role, 'SELECT', table, name))),
    ]),
    on('readback_writer', 'UPDATE', HEARTBEAT),
    ...execute('readback_writer', 'note_seen(text, bigint, pg_lsn, boolean)'),
    on('readback_reader', 'SELECT', 'readback.seen_positions'),
    ...execute('readback_pruner', 'give_up_slot(text, bigint)'),
  ],
  replica: (tables) => [
    ...ROLES.replica.map(schema),
    ...execute('readback_reader', 'position()', 'seen()', 'settled()', 'missing(pg_lsn[])', 'feed_faults()'),
    ...[...tables.map(({ table }) => table), 'readback.change_log', 'readback.log_state'].map((table) =>
      on('readback_reader', 'SELECT', table),
    ),
    ...execute('readback_pruner', 'prune_log(float, bigint, int)', 'flush()'),
  ],
};

/** Those of the grants that are not there. Of a role or object that is missing itself nothing is said: that is told already. */
function missingGrants(sql: Sql, wanted: Grant[]): Promise<Grant[]> {
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

/** In the order in which they stand in each other's way. */
export function checkLogins(server: ServerFacts & LoginFacts): Finding[] {
  const { name, basics, login, missingRoles: missing = [], missingGrants: grants = [] } = server;
  if (!basics?.isSetUp) return [];
  const groups = Map.groupBy(grants, ({ role, privilege, object }) => `${role} ${privilege} ${object}`);
  return [
    ...missing.map((role) => noRole(name, role)),
    ...(login ? checkLogin(name, login, missing) : []),
    ...[...groups.values()].map((group) => lacking(name, group)),
  ];
}

function checkLogin(server: string, login: Login, missing: Role[]): Finding[] {
  if (login.refused !== undefined) return [cannotConnect(server, login.name, login.refused)];
  const lacks = login.lacks.filter((role) => !missing.includes(role));
  return [
    ...(lacks.length > 0 ? [mayNotBe(server, login.name, lacks)] : []),
    ...(login.isSuperuser ? [superuser(server, login.name)] : []),
  ];
}

export const grantRoles: Repair = {
  name: 'grant',
  does: () => "make the roles that are missing, and grant them and the server's login again what set-up grants",
  run: async (server, { servers }) => {
    const side = server === servers.primary ? 'primary' : 'replica';
    await makeRoles(server, ROLES[side]);
    await grantAgain(server.admin, side);
    await allowLogin(server, server.urls.url, ROLES[side]);
  },
};

/** At the beginning of a line, to its semicolon: a grant, or what takes one of Readback's roles a right that it had. */
const GRANT = /^(?:grant [^;]+|revoke [^;]+ from readback_[^;]+);/gm;

/** Runs again every grant of the migrations that are applied: they alone say what a role may, and doing it twice is fine. */
async function grantAgain(sql: Sql, side: Side): Promise<void> {
  const { engine, project } = seriesIn(join(projectRoot, 'sql'), side);
  const texts = [...(await appliedTexts(sql, engine)), ...(await appliedTexts(sql, project))];
  for (const statement of texts.flatMap((text) => text.match(GRANT) ?? [])) await grantWhereThere(sql, statement);
}

/** A later migration may have dropped what an earlier one granted: SQLSTATE class 42, undefined something. */
async function grantWhereThere(sql: Sql, statement: string): Promise<void> {
  try {
    await sql.unsafe(statement);
  } catch (error) {
    if (!/^42(P01|703|883|704)$/.test((error as { code?: string }).code ?? '')) throw error;
  }
}

const noRole = kind('role-missing', (role: Role) => ({
  found: `there is no role ${role}`,
  expected: 'the roles that set-up makes, which own nothing',
  remedy: `Run there: create role ${role} nologin; then grant it what sql/ grants it, or let readback doctor --fix do both.`,
  fix: grantRoles,
}));

const cannotConnect = kind('login', (login: string, reason: string) => ({
  found: `the server's login ${login} cannot connect: ${reason}`,
  expected: 'the user and password of the URL are good',
  remedy: `Correct the URL, or run there: alter role ${login} login password '…'; if there is no such login, readback migrate makes it.`,
}));

const mayNotBe = kind('login', (login: string, roles: Role[]) => ({
  found: `the server's login ${login} may not take on ${roles.join(', ')}`,
  expected: 'it is a member of them, as the server works in no other',
  remedy: `Run there: grant ${roles.join(', ')} to ${login};`,
  fix: grantRoles,
}));

const superuser = kind('login-superuser', (login: string) => ({
  severity: 'advice',
  found: `the server's login ${login} is a superuser`,
  expected: 'a login that owns nothing, so that a fault of the server reaches no further than its roles',
  remedy:
    'Set PRIMARY_ADMIN_URL and REPLICA_ADMIN_URLS to this login, and PRIMARY_URL and REPLICA_URLS to another one with a password of your choice: readback migrate makes it.',
}));

/** Of one role on one object; the columns are those of a table. */
const lacking = kind('privilege', (grants: Grant[]) => {
  const { role, privilege, kind: type, object } = grants[0]!;
  const columns = grants.flatMap(({ column }) => column ?? []);
  const what = `${privilege.toLowerCase()}${columns.length > 0 ? ` (${columns.join(', ')})` : ''}`;
  return {
    found: `${role} lacks ${what} on ${object}`,
    expected: 'what sql/ grants',
    remedy: `Run there: grant ${what} on ${type} ${object} to ${role};`,
    fix: grantRoles,
  };
});
