import type { z } from 'zod';
import { databaseUrlFault, formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import { withSecretFiles } from '../lib/secret-files.ts';
import { variables, type Variables } from './settings.ts';

/** The only reader of the environment. */

/** One database server: what the server connects as, and what sets it up. */
export interface DatabaseUrls {
  /** The login of the serving process; it takes a role that owns nothing. */
  url: string;
  /** The login that migrates and wires replication; the same as `url` where none is configured. */
  adminUrl: string;
  /** Through a connection pooler, each with a login of its own. Left out: what it is for goes straight to `url`. */
  pooled?: PooledUrls;
}

export interface PooledUrls {
  writes?: string;
  reads?: string;
}

export interface DatabaseConfig {
  primary: DatabaseUrls;
  replicas: DatabaseUrls[];
  /** How the replicas reach the primary, where that differs from the primary's adminUrl. */
  replicationUrl: string | undefined;
}

/** What depends on the mode where it is left out. */
type ModeVariable = (typeof LIMITS)[number][0] | 'ACCESS' | 'INTROSPECTION' | 'CORS_ORIGINS';

export type Config = Readonly<Omit<Variables, DatabaseVariable | ModeVariable>> & {
  readonly [Name in ModeVariable]: NonNullable<Variables[Name]>;
} & {
  /** Undefined: the embedded pair. */
  readonly databases: DatabaseConfig | undefined;
  /** Of a replica that is to be added. */
  readonly newReplica: Readonly<Record<'url' | 'adminUrl', string | undefined>>;
};

type DatabaseVariable = Extract<keyof Variables, `${string}_URL` | `${string}_URLS` | `${string}DB_${'HOST' | 'PORT'}`>;

/** Each may stand in a file instead, which `…_FILE` names. */
const SECRETS = [
  'PRIMARY_URL',
  'REPLICA_URLS',
  'PRIMARY_ADMIN_URL',
  'REPLICA_ADMIN_URLS',
  'PRIMARY_REPLICATION_URL',
  'NEW_REPLICA_URL',
  'NEW_REPLICA_ADMIN_URL',
  'PRIMARY_POOLED_URL',
  'PRIMARY_POOLED_READS_URL',
  'REPLICA_POOLED_URLS',
  'DB_PASSWORD',
];

/** Checks everything at once; throws one SetupError with a line for each bad value. */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const set = Object.fromEntries(
    Object.entries(withSecretFiles(environment, SECRETS)).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = variables.safeParse(set);
  if (!parsed.success) throw new SetupError(parsed.error.issues.map((issue) => describe(issue, set)).join('\n'));
  const { SHUTDOWN_DRAIN_MS, SHUTDOWN_GRACE_MS, SLOT_WAL_WARN_BYTES, SLOT_WAL_MAX_BYTES } = parsed.data;
  const { HEADERS_TIMEOUT_MS, REQUEST_TIMEOUT_MS, NEW_REPLICA_URL, NEW_REPLICA_ADMIN_URL } = parsed.data;
  mustBeLess({ HEADERS_TIMEOUT_MS }, { REQUEST_TIMEOUT_MS });
  mustBeLess({ SHUTDOWN_DRAIN_MS }, { SHUTDOWN_GRACE_MS });
  mustBeLess({ SLOT_WAL_WARN_BYTES }, { SLOT_WAL_MAX_BYTES });
  const databases = readDatabases(parsed.data);
  const newReplica = { url: NEW_REPLICA_URL, adminUrl: NEW_REPLICA_ADMIN_URL };
  return Object.freeze({ ...parsed.data, ...readMode(parsed.data, databases !== undefined), databases, newReplica });
}

/** What a project begins with: perhaps a primary, and no replica yet. */
export interface Beginning {
  /** Without databases, and so the environment. */
  config: Config;
  environment: Record<string, string | undefined>;
  primary: DatabaseUrls | undefined;
  replicas: DatabaseUrls[];
  replicationUrl: string | undefined;
}

export function readBeginning(environment: Record<string, string | undefined>): Beginning {
  const { PRIMARY_URL: url, PRIMARY_ADMIN_URL: admin } = withSecretFiles(environment, SECRETS);
  const others = Object.fromEntries(Object.entries(environment).filter(([name]) => !DATABASES.test(name)));
  const kept = { config: readConfig(others), environment: others };
  if (!url) return { ...kept, primary: undefined, replicas: [], replicationUrl: undefined };
  const fault = databaseUrlFault(url);
  if (fault !== undefined) throw new SetupError(`PRIMARY_URL ${fault}`);
  const hasReplicas = Boolean(environment['REPLICA_URLS'] ?? environment['REPLICA_URLS_FILE']);
  const { replicas, replicationUrl } = hasReplicas ? readConfig(environment).databases! : NONE;
  return { ...kept, primary: { url, adminUrl: admin || url }, replicas, replicationUrl };
}

const NONE = { replicas: [], replicationUrl: undefined };

const DATABASES = /^(?:(?:PRIMARY|REPLICA)\w*_URLS?|(?:WRITE|READ)_DB_HOST)(?:_FILE)?$/;

function mustBeLess(less: Record<string, number>, more: Record<string, number>): void {
  const [[name, value], [bound, most]] = [Object.entries(less)[0]!, Object.entries(more)[0]!];
  if (value < most) return;
  throw new SetupError(`${name} must be less than ${bound}, which is ${most}, got: ${value}`);
}

/** In protected mode, per user or address. In open mode everybody comes from this machine, and nobody is kept off. */
const LIMITS = [
  ['REQUESTS_PER_SECOND_MAX', 100],
  ['COST_PER_SECOND_MAX', 20_000],
  ['SOCKETS_PER_ADDRESS_MAX', 200],
  ['CONNECTIONS_PER_ADDRESS_MAX', 200],
  ['SUBSCRIPTIONS_PER_USER_MAX', 200],
  ['SUBSCRIPTIONS_PER_ADDRESS_MAX', 1000],
  ['SUBSCRIPTION_COST_PER_USER_MAX', 20_000],
  ['SUBSCRIPTION_COST_PER_ADDRESS_MAX', 100_000],
] as const;

function readMode(v: Variables, hasDatabases: boolean): Pick<Config, ModeVariable> {
  const ACCESS = v.ACCESS ?? (hasDatabases ? 'protected' : 'open');
  const isOpen = ACCESS === 'open';
  if (isOpen && !isLoopback(v.HOST)) throw new SetupError(openElsewhere(v.HOST));
  const limits = LIMITS.map(([name, most]) => [name, v[name] ?? (isOpen ? 0 : most)]);
  const INTROSPECTION = v.INTROSPECTION ?? (isOpen ? 'on' : 'off');
  return {
    ACCESS,
    INTROSPECTION,
    CORS_ORIGINS: v.CORS_ORIGINS ?? (isOpen ? 'own' : '*'),
    ...Object.fromEntries(limits),
  };
}

export const isLoopback = (host: string) => /^(127(\.\d{1,3}){3}|::1|localhost)$/i.test(host);

const openElsewhere = (host: string) =>
  `ACCESS=open lets everybody read and write everything, so it listens on loopback alone, and HOST is ${host}: ` +
  'set ACCESS=protected and make an administrator with `readback admin create`, or set HOST=127.0.0.1.';

function describe(issue: z.core.$ZodIssue, set: Record<string, string | undefined>): string {
  const [name, index] = [String(issue.path[0]), issue.path[1]];
  // A URL that is one says itself what of it is wrong.
  if (issue.message.startsWith('has '))
    return `${name}${typeof index === 'number' ? `, its URL ${index + 1},` : ''} ${issue.message}`;
  const secret = name.includes('URL') || name.includes('PASSWORD');
  return `${name} ${issue.message}, got: ${secret ? '(not shown: it may hold a password)' : set[name]}`;
}

function readDatabases(v: Variables): DatabaseConfig | undefined {
  const primary = v.PRIMARY_URL ?? seedUrl(v, 'WRITE_DB');
  const single = seedUrl(v, 'READ_DB');
  const replicas = v.REPLICA_URLS ?? (single === undefined ? undefined : [single]);
  if (primary === undefined && replicas === undefined) return undefined;
  if (primary === undefined || replicas === undefined) throw new SetupError(onlyOne(primary === undefined));
  const admins = v.REPLICA_ADMIN_URLS ?? replicas;
  const pooled = v.REPLICA_POOLED_URLS;
  mustBeAsMany('REPLICA_ADMIN_URLS', admins, replicas);
  if (pooled) mustBeAsMany('REPLICA_POOLED_URLS', pooled, replicas);
  return {
    primary: withPooled(
      { url: primary, adminUrl: v.PRIMARY_ADMIN_URL ?? primary },
      { writes: v.PRIMARY_POOLED_URL, reads: v.PRIMARY_POOLED_READS_URL },
    ),
    replicas: replicas.map((url, index) =>
      withPooled({ url, adminUrl: admins[index]! }, { writes: undefined, reads: pooled?.[index] }),
    ),
    replicationUrl: v.PRIMARY_REPLICATION_URL,
  };
}

function mustBeAsMany(name: string, { length }: string[], replicas: string[]): void {
  if (length === replicas.length) return;
  throw new SetupError(`${name} must name as many servers as REPLICA_URLS (${replicas.length}), got: ${length}`);
}

/** What a pooled session may do is its login's to say, so no other session may have the same one. */
function withPooled(urls: DatabaseUrls, { writes, reads }: Record<keyof PooledUrls, string | undefined>): DatabaseUrls {
  if (writes === undefined && reads === undefined) return urls;
  const given = [writes, reads].filter((url) => url !== undefined).map(loginOf);
  const taken = [urls.url, urls.adminUrl].map(loginOf);
  const shared = given.find((login, index) => taken.includes(login) || given.indexOf(login) < index);
  if (shared !== undefined) throw new SetupError(sharedLogin(shared));
  return { ...urls, pooled: { ...(writes !== undefined && { writes }), ...(reads !== undefined && { reads }) } };
}

const loginOf = (url: string) => parseDatabaseUrl(url).user ?? '';

const sharedLogin = (login: string) =>
  `PRIMARY_POOLED_URL, PRIMARY_POOLED_READS_URL and REPLICA_POOLED_URLS must each log in as somebody that no other URL ` +
  `of the same server names, got ${login || 'no user'} twice: choose another name, readback migrate makes the login.`;

function seedUrl(v: Variables, side: 'WRITE_DB' | 'READ_DB'): string | undefined {
  const host = v[`${side}_HOST`];
  if (host === undefined) return undefined;
  const { DB_SSLMODE: sslmode, DB_SSLROOTCERT: sslrootcert } = v;
  const parameters = Object.entries({ sslmode, sslrootcert }).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  );
  const url = formatDatabaseUrl({
    user: v.DB_USER,
    password: v.DB_PASSWORD,
    hosts: [{ host, port: v[`${side}_PORT`] }],
    database: v.DB_NAME,
    parameters: new Map(parameters),
  });
  const fault = databaseUrlFault(url);
  if (fault === undefined) return url;
  throw new SetupError(`${side}_HOST, ${side}_PORT and DB_… make a URL that ${fault}`);
}

function onlyOne(primaryMissing: boolean): string {
  return primaryMissing
    ? 'A replica is configured but no primary: set PRIMARY_URL (or WRITE_DB_HOST), or neither for the embedded pair.'
    : 'A primary is configured but no replica: set REPLICA_URLS (or READ_DB_HOST), or neither for the embedded pair.';
}
