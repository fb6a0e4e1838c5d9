import { createHash, createHmac, pbkdf2 as derive, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Sql } from '../database/connect.ts';
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
  await inTurn(admin, async (sql) => {
    await ensureLogin(sql, login, password);
    for (const role of roles) await runFormatted(sql, 'grant %I to %I', role, login);
  });
}

/**
 * Before the migrations, which would make them in long transactions: another one on the same server, of another database
 * of the same set-up even, would wait for the end of that.
 */
export async function makeRoles({ admin }: Server, roles: Role[]): Promise<void> {
  await inTurn(admin, (sql) => makeRolesIn(sql, roles));
}

/** In a transaction of the caller's. */
export async function makeRolesIn(sql: Sql, roles: Role[]): Promise<void> {
  for (const role of roles) {
    const [existing] = await sql`select from pg_roles where rolname = ${role}`;
    if (!existing) await runFormatted(sql, 'create role %I nologin', role);
  }
}

/** Roles are the whole server's, and advisory locks a database's: who makes some takes the table's lock, for a moment. */
async function inTurn(admin: Sql, work: (sql: Sql) => Promise<void>): Promise<void> {
  await admin.begin(async (transaction) => {
    const sql = transaction as unknown as Sql; // all that is asked of it are statements
    await sql.unsafe(`set local lock_timeout = '${TURN_TIMEOUT}'; lock table pg_authid in share row exclusive mode`);
    await work(sql);
  });
}

const TURN_TIMEOUT = '30s';

/** A login for sessions behind a pooler: it has the rights of one role, and that role's settings, from the start. */
export async function allowPooled(server: Server, { url, role, statementTimeoutMs }: PooledWay): Promise<void> {
  await allowLogin(server, url, [role]);
  const login = parseDatabaseUrl(url).user ?? '';
  for (const [name, value] of Object.entries(pooledSettings(role, statementTimeoutMs)))
    await setInDatabase(server.admin, login, name, value);
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
  return { user: name, password };
}

/**
 * The published columns and no others: not the password hash. A copy of which row level security would leave rows out
 * fails instead: the changes that follow it come without any such bound.
 */
export async function allowCopy(admin: Sql, login: string): Promise<void> {
  const tables = await admin<{ schema: string; name: string; columns: string[] }[]>`
    select p.schemaname as schema, p.tablename as name, ${sentColumns(admin)} as columns
    from pg_publication_tables p where p.pubname = 'readback'`;
  for (const { schema, name, columns } of tables) {
    const list = columns.map(() => '%I').join(', ');
    await runFormatted(admin, 'grant usage on schema %I to %I', schema, login);
    await runFormatted(admin, `grant select (${list}) on %I.%I to %I`, ...columns, schema, name, login);
  }
  await setInDatabase(admin, login, 'row_security', 'off');
}

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
async function scramVerifier(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const salted = await pbkdf2(password.normalize('NFKC'), salt, ITERATIONS, 32, HASH);
  const hmac = (text: string) => createHmac(HASH, salted).update(text).digest();
  const storedKey = createHash(HASH).update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
