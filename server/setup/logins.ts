import { createHash, createHmac, pbkdf2 as derive, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { withConnection, type Sql } from '../database/connect.ts';
import { pooledSettings, type PooledWay } from '../database/pooled.ts';
import { parseDatabaseUrl } from '../lib/database-url.ts';
import type { Server, Side } from './servers.ts';
import { sentColumns } from './shapes.ts';

export type Role = 'readback_writer' | 'readback_reader' | 'readback_pruner';

/** Those that each side has. */
export const ROLES = {
  primary: ['readback_writer', 'readback_reader', 'readback_pruner'],
  replica: ['readback_reader', 'readback_pruner'],
} satisfies Record<Side, Role[]>;

/** Lets the server's login take on the roles. Makes the login, with the URL's password, where it is missing. */
export async function allowLogin({ admin }: Server, url: string, roles: Role[]): Promise<void> {
  const { user: login = '', password } = parseDatabaseUrl(url);
  await again(async () => {
    await ensureLogin(admin, login, password);
    for (const role of await toBeGranted(admin, roles, login)) await runFormatted(admin, 'grant %I to %I', role, login);
  });
}

/** Who may not pass a role on leaves it where it is. */
async function toBeGranted(admin: Sql, roles: Role[], login: string): Promise<string[]> {
  const rows = await admin<{ name: string }[]>`
    select r.rolname::text as name from pg_roles r where r.rolname in ${admin(roles)}
      and (pg_has_role(current_user, r.oid, 'member with admin option') or not ${takesOn(admin, login)})`;
  return rows.map(({ name }) => name);
}

/** Of a role r: from PostgreSQL 16 on, who made one is a member of it, and may not take it on. */
export const takesOn = (sql: Sql, login: string) => sql`
  exists (select from pg_roles l where l.rolname = ${login} and pg_has_role(l.oid, r.oid,
    case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end))`;

/** Of a role u. On Amazon RDS members of a role may, without the attribute. */
export const mayStream = (sql: Sql) => sql`(
  u.rolsuper or u.rolreplication
  or exists (select from pg_roles g where g.rolname = 'rds_replication' and pg_has_role(u.oid, g.oid, 'usage')))`;

/**
 * Before the migrations, which would make them in long transactions: another one on the same server, of another database
 * of the same set-up even, would wait for the end of that.
 */
export async function makeRoles({ admin }: Server, roles: Role[]): Promise<void> {
  for (const role of roles) await again(() => makeRolesIn(admin, [role]));
}

/** In a transaction of the caller's. */
export async function makeRolesIn(sql: Sql, roles: Role[]): Promise<void> {
  for (const role of roles) {
    const [existing] = await sql`select from pg_roles where rolname = ${role}`;
    if (!existing) await runFormatted(sql, 'create role %I nologin', role);
  }
}

/**
 * Roles are the whole server's, and who is no superuser may lock nothing of it: another set-up, of another database, may
 * make or grant the same at this moment. It is waited for, and what it did is looked at.
 */
async function again(work: () => Promise<void>): Promise<void> {
  for (let left = MOST_CLASHES; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (left === 0 || !isClash(error as { code?: string; message: string })) throw error;
    }
  }
}

const MOST_CLASHES = 20;

/** It is there already, or another transaction has changed its row meanwhile, for which PostgreSQL has no code. */
const isClash = ({ code, message }: { code?: string; message: string }): boolean =>
  code === '42710' || code === '23505' || (code === 'XX000' && message.includes('concurrently'));

/** A login for sessions behind a pooler: it has the rights of one role, and that role's settings, from the start. */
export async function allowPooled(server: Server, { url, role, statementTimeoutMs }: PooledWay): Promise<void> {
  await allowLogin(server, url, [role]);
  const login = parseDatabaseUrl(url).user ?? '';
  for (const [name, value] of Object.entries(pooledSettings(role, statementTimeoutMs)))
    await again(() => setInDatabase(server.admin, login, name, value));
}

/** What the role's sessions in this database begin with. */
export async function setInDatabase(admin: Sql, role: string, setting: string, value: string): Promise<void> {
  const [{ database }] = await admin<[{ database: string }]>`select current_database() as database`;
  await runFormatted(admin, 'alter role %I in database %I set %I to %L', role, database, setting, value);
}

async function ensureLogin(admin: Sql, login: string, password: string): Promise<void> {
  const [existing] = await admin`select from pg_roles where rolname = ${login}`;
  if (existing) return;
  // Without one nobody gets in by a password, as with an empty one.
  if (password === '') await runFormatted(admin, 'create role %I login', login);
  else await runFormatted(admin, 'create role %I login password %L', login, await scramVerifier(password));
}

/** A login for one replica's apply worker: it may stream, and read the published columns for the initial copy. */
export async function makeReplicator(admin: Sql, name: string): Promise<{ user: string; password: string }> {
  const password = randomBytes(24).toString('base64url');
  const [existing] = await admin`select from pg_roles where rolname = ${name}`;
  const verb = existing ? 'alter' : 'create';
  await runFormatted(admin, `${verb} role %I login replication password %L`, name, await scramVerifier(password));
  await becomeMember(admin, name);
  return { user: name, password };
}

/**
 * From PostgreSQL 16 on, who made a login may not do what its members may: end its sessions, as giving up its slot wants,
 * and drop what it owns. But it may become one.
 */
export async function becomeMember(sql: Sql, role: string): Promise<void> {
  const [row] = await sql<[{ isMember: boolean; login: string }]>`
    select pg_has_role(current_user, ${role}, 'usage') as is_member, current_user::text as login`;
  if (!row.isMember) await runFormatted(sql, 'grant %I to %I', role, row.login);
}

/**
 * The published columns and no others: not the password hash. A copy of which row level security would leave rows out
 * fails instead: the changes that follow it come without any such bound.
 */
export async function allowCopy(server: Server, login: string): Promise<void> {
  const { admin } = server;
  const tables = await admin<{ schema: string; name: string; columns: string[] }[]>`
    select p.schemaname as schema, p.tablename as name, ${sentColumns(admin)} as columns
    from pg_publication_tables p where p.pubname = 'readback'`;
  for (const { schema, name, columns } of tables) {
    const list = columns.map(() => '%I').join(', ');
    await runFormatted(admin, 'grant usage on schema %I to %I', schema, login);
    await runFormatted(admin, `grant select (${list}) on %I.%I to %I`, ...columns, schema, name, login);
  }
  await keepRows(server, login);
}

/** Somebody else's login is not the administrator's to set, but each may set its own. */
async function keepRows({ admin, replicator }: Server, login: string): Promise<void> {
  const [state] = await admin<[{ isSet: boolean; may: boolean }?]>`
    select ${keepsRows(admin)} as is_set, ${maySet(admin)} as may from pg_roles u where rolname = ${login}`;
  if (state?.isSet) return;
  const set = (sql: Sql) => setInDatabase(sql, login, 'row_security', 'off');
  await (state?.may || replicator === undefined ? set(admin) : asLogin(replicator, set));
}

/** Of a role u: sessions in this database begin so. */
export const keepsRows = (sql: Sql) => sql`
  exists (select from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
    where s.setrole = u.oid and d.datname = current_database() and 'row_security=off' = any(s.setconfig))`;

/** Of a role u: its settings are the present login's to change. */
export const maySet = (sql: Sql) => sql`(
  u.rolname = current_user or pg_has_role(current_user, u.oid, 'member with admin option')
  or exists (select from pg_roles own where own.rolname = current_user
    and (own.rolsuper or own.rolcreaterole and current_setting('server_version_num')::int < 160000)))`;

/** What wants the right to replicate, by who has it: the administrator, or else the login that the replicas stream as. */
export async function asReplicator<T>({ admin, replicator }: Server, work: (sql: Sql) => Promise<T>): Promise<T> {
  const [{ may }] = await admin<[{ may: boolean }]>`
    select ${mayStream(admin)} as may from pg_roles u where rolname = current_user`;
  return may || replicator === undefined ? work(admin) : asLogin(replicator, work);
}

const asLogin = <T>(url: string, work: (sql: Sql) => Promise<T>) =>
  withConnection(url, { connectTimeoutMs: LOGIN_TIMEOUT_MS, applicationName: 'readback setup' }, work);

const LOGIN_TIMEOUT_MS = 10_000;

/** Each of them could put a statement, or its parameters, into PostgreSQL's log. */
const SILENT: Record<string, string> = {
  log_statement: 'none',
  log_min_error_statement: 'panic',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
  log_duration: 'off',
};

/**
 * As runFormatted, with a secret among the values that PostgreSQL must have as it is: the session, which has one
 * connection, logs no statements meanwhile. Where its login may not say so, its server's settings hold.
 */
export async function runSecretly(sql: Sql, template: string, ...values: string[]): Promise<void> {
  const names = Object.keys(SILENT);
  const set = names.map((name) => `set ${name} = '${SILENT[name]}'`).join('; ');
  const reset = names.map((name) => `reset ${name}`).join('; ');
  await sql.unsafe(set).catch(() => undefined); // it may not
  try {
    await runFormatted(sql, template, ...values);
  } finally {
    await sql.unsafe(reset).catch(() => undefined); // nor then, or the session is gone: the statement says why
  }
}

/** Utility statements take no parameters: PostgreSQL itself quotes the values into the statement. */
export async function runFormatted(sql: Sql, template: string, ...values: string[]): Promise<void> {
  const [row] = await sql<[{ statement: string }]>`
    select format(${template}, variadic array(select jsonb_array_elements_text(${sql.json(values)}))) as statement`;
  await sql.unsafe(row.statement);
}

const pbkdf2 = promisify(derive);

/** PostgreSQL's own. */
const ITERATIONS = 4096;
const SALT_BYTES = 16;
const HASH = 'sha256';

/**
 * What PostgreSQL keeps of a password, as RFC 5802 and 7677 have it: a role is made with that, as statements, those that
 * fail above all, may stand in its log. Passwords beyond ASCII are normalised, as by PostgreSQL and libpq.
 */
async function scramVerifier(password: string, salt = randomBytes(SALT_BYTES)): Promise<string> {
  const salted = await pbkdf2(password.normalize('NFKC'), salt, ITERATIONS, 32, HASH);
  const hmac = (text: string) => createHmac(HASH, salted).update(text).digest();
  const storedKey = createHash(HASH).update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

/** What may be kept of a secret, to find whether another one is the same. */
export const verifierOf = (secret: string): Promise<string> => scramVerifier(secret);

export async function isVerified(secret: string, verifier: string): Promise<boolean> {
  const salt = Buffer.from(verifier.split(/[:$]/)[2] ?? '', 'base64');
  return verifier === (await scramVerifier(secret, salt));
}
