import { z } from 'zod';
import { databaseUrlFault, formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import { withSecretFiles } from '../lib/secret-files.ts';

/** The only reader of the environment. Every variable is described in .env.example. */

const port = (fallback: number) => whole(fallback, 0, 65535);

/** As browsers send it. */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]+$/i;
const ORIGINS = 'must be own, *, or a list of origins such as https://app.example.com, comma-separated, without a path';

/** Of a host, without its port. */
const HOST_NAME = /^(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])$/i;

const listOf = (text: string) => text.split(',').map((part) => part.trim());

/** An address, or a network of them, in either family. */
const ADDRESS = /^[0-9a-f.:]+(\/\d{1,3})?$/i;

const limit = (most = 1_000_000) => wholeText(0, most).optional();

function whole(fallback: number, least: number, most: number) {
  return wholeText(least, most).default(fallback);
}

function wholeText(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`;
  return z
    .string()
    .regex(/^\d+$/, message)
    .transform(Number)
    .refine((value) => value >= least && value <= most, message);
}

const postgresUrl = z.string().superRefine((text, context) => {
  const fault = databaseUrlFault(text);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});

const databaseHost = z.string().regex(/^[^\s@/?#%]+$/, 'must be a host name or an address');

const urlList = z.string().transform(listOf).pipe(z.array(postgresUrl).min(1));

const variables = z.object({
  PORT: port(3000),
  HOST: z.string().min(1).default('127.0.0.1'),
  CORS_ORIGINS: z
    .string()
    .refine((text) => text === '*' || text === 'own' || listOf(text).every((origin) => ORIGIN.test(origin)), ORIGINS)
    .optional(),
  ALLOWED_HOSTS: z
    .string()
    .transform(listOf)
    .pipe(
      z.array(z.string().regex(HOST_NAME, 'must list host names such as dev.example.com, comma-separated, no ports')),
    )
    .optional(),
  HSTS_INCLUDE_SUBDOMAINS: z.enum(['on', 'off']).default('off'),
  TRUST_PROXY: z
    .string()
    .transform(listOf)
    .pipe(z.array(z.string().regex(ADDRESS, 'must list addresses or networks such as 10.0.0.0/8, comma-separated')))
    .optional(),
  ACCESS: z.enum(['open', 'protected']).optional(),
  ACCESS_TOKEN_TTL_MS: whole(900_000, 1000, 86_400_000),
  ACCESS_SESSION_HOURS: whole(720, 1, 87_600),
  ACCESS_KEY_ROTATION_HOURS: whole(168, 1, 87_600),
  SIGN_IN_FAILURES_MAX: whole(10, 1, 1_000_000),
  SIGN_IN_FAILURES_PER_ADDRESS_MAX: whole(100, 1, 1_000_000),
  SIGN_UPS_PER_ADDRESS_MAX: whole(100, 1, 1_000_000),
  SIGN_IN_WINDOW_MS: whole(900_000, 1000, 86_400_000),
  INTROSPECTION: z.enum(['on', 'off']).optional(),
  TRUSTED_DOCUMENTS: z.string().min(1).optional(),
  QUERY_TOKENS_MAX: whole(2000, 100, 1_000_000),
  QUERY_TOKENS_ANONYMOUS_MAX: whole(1000, 100, 1_000_000),
  QUERY_CHARACTERS_MAX: whole(50_000, 1000, 100_000_000),
  QUERY_CHARACTERS_ANONYMOUS_MAX: whole(20_000, 1000, 100_000_000),
  QUERY_SELECTIONS_MAX: whole(5000, 100, 1_000_000),
  QUERY_SELECTIONS_ANONYMOUS_MAX: whole(1000, 100, 1_000_000),
  QUERY_DEPTH_MAX: whole(12, 1, 1000),
  QUERY_ALIASES_MAX: whole(100, 0, 100_000),
  QUERY_COST_MAX: whole(50_000, 10, 1_000_000_000),
  OPERATION_TIMEOUT_MS: whole(30_000, 100, 3_600_000),
  WS_OPERATIONS_MAX: whole(100, 1, 1_000_000),
  SUBSCRIPTION_BYTES_MAX: whole(65_536, 1024, 104_857_600),
  // Of one user or address. 0: no limit, which open mode has where they are left out.
  REQUESTS_PER_SECOND_MAX: limit(),
  COST_PER_SECOND_MAX: limit(1_000_000_000),
  SOCKETS_PER_ADDRESS_MAX: limit(),
  CONNECTIONS_PER_ADDRESS_MAX: limit(),
  SUBSCRIPTIONS_PER_USER_MAX: limit(),
  SUBSCRIPTIONS_PER_ADDRESS_MAX: limit(),
  SUBSCRIPTION_COST_PER_USER_MAX: limit(1_000_000_000),
  SUBSCRIPTION_COST_PER_ADDRESS_MAX: limit(1_000_000_000),
  // Left out: three quarters of the files that the process may have open.
  CONNECTIONS_MAX: wholeText(1, 10_000_000).optional(),
  HEADERS_TIMEOUT_MS: whole(10_000, 100, 3_600_000),
  REQUEST_TIMEOUT_MS: whole(30_000, 100, 3_600_000),
  RESPONSE_TIMEOUT_MS: whole(120_000, 100, 3_600_000),
  KEEP_ALIVE_TIMEOUT_MS: whole(72_000, 100, 3_600_000),
  // Left out: the metrics are on PORT in open mode, and nowhere in protected mode.
  METRICS_PORT: wholeText(0, 65535).optional(),
  METRICS_HOST: z.string().min(1).default('127.0.0.1'),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'must be a URL such as http://127.0.0.1:4318' })
    .optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('warn'),
  PRIMARY_URL: postgresUrl.optional(),
  REPLICA_URLS: urlList.optional(),
  PRIMARY_ADMIN_URL: postgresUrl.optional(),
  REPLICA_ADMIN_URLS: urlList.optional(),
  PRIMARY_REPLICATION_URL: postgresUrl.optional(),
  NEW_REPLICA_URL: postgresUrl.optional(),
  NEW_REPLICA_ADMIN_URL: postgresUrl.optional(),
  SUBSCRIPTIONS: z.enum(['made', 'awaited']).default('made'),
  REPLICA_SYNCHRONOUS_COMMIT: z.enum(['local', 'off']).default('local'),
  PRIMARY_POOLED_URL: postgresUrl.optional(),
  PRIMARY_POOLED_READS_URL: postgresUrl.optional(),
  REPLICA_POOLED_URLS: urlList.optional(),
  WRITE_DB_HOST: databaseHost.optional(),
  WRITE_DB_PORT: port(5432),
  READ_DB_HOST: databaseHost.optional(),
  READ_DB_PORT: port(5432),
  DB_NAME: z.string().min(1).default('postgres'),
  DB_USER: z.string().min(1).default('postgres'),
  DB_PASSWORD: z.string().default(''),
  DB_SSLMODE: z.enum(['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full']).optional(),
  DB_SSLROOTCERT: z.string().min(1).optional(),
  READBACK_DIR: z.string().min(1).default('.readback'),
  EMBEDDED_PRIMARY_PORT: port(6000),
  EMBEDDED_REPLICA_PORT: port(6001),
  PRIMARY_POOL_SIZE: whole(10, 1, 500),
  REPLICA_POOL_SIZE: whole(10, 1, 500),
  DB_CONNECT_TIMEOUT_MS: whole(5000, 100, 60_000),
  STATEMENT_TIMEOUT_MS: whole(10_000, 100, 600_000),
  INITIAL_COPY_TIMEOUT_MS: whole(3_600_000, 1000, 86_400_000),
  SHUTDOWN_GRACE_MS: whole(10_000, 100, 600_000),
  SHUTDOWN_DRAIN_MS: whole(0, 0, 600_000),
  BOOKMARK_WAIT_MS: whole(1000, 0, 60_000),
  BOOKMARK_STALL_MS: whole(10, 1, 10_000),
  REPLICA_MAX_LAG_MS: whole(5000, 10, 3_600_000),
  REPLICA_LOOK_TIMEOUT_MS: whole(1000, 50, 60_000),
  MONITOR_INTERVAL_MS: whole(500, 50, 60_000),
  PRIMARY_READS_MAX: whole(10, 0, 10_000),
  SLOT_WAL_WARN_BYTES: whole(1_073_741_824, 1_048_576, 2 ** 50),
  // Of less, the primary refuses to give a slot up: one of a replica that keeps up may hold as much for a moment.
  SLOT_WAL_MAX_BYTES: whole(10_737_418_240, 67_108_864, 2 ** 50),
  SLOT_ACTION: z.enum(['warn', 'drop']).default('warn'),
  SLOT_WATCH_MS: whole(5000, 100, 3_600_000),
  LISTEN_HEARTBEAT_MS: whole(5000, 100, 60_000),
  HASH_CONCURRENCY: whole(2, 1, 64),
  HASH_QUEUE: whole(64, 0, 10_000),
  BODY_LIMIT_BYTES: whole(1_048_576, 1024, 104_857_600),
  CHANGE_LOG_RETENTION_HOURS: whole(24, 1, 87_600),
  CHANGE_LOG_MAX_BYTES: whole(1_073_741_824, 1_048_576, 2 ** 50),
  CHANGE_LOG_PRUNE_MS: whole(60_000, 100, 86_400_000),
  FEED_WINDOW_CHANGES: whole(5000, 100, 1_000_000),
  // A client has half of it at least: what takes less than the pause between two tries is no use.
  SNAPSHOT_MAX_MS: whole(3_600_000, 1000, 604_800_000),
  WS_BUFFER_BYTES: whole(1_048_576, 1024, 1_073_741_824),
  WS_SLOW_CLIENT_TIMEOUT_MS: whole(30_000, 100, 3_600_000),
});

type Variables = z.output<typeof variables>;

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
  if (admins.length !== replicas.length) {
    throw new SetupError(
      `REPLICA_ADMIN_URLS must name as many servers as REPLICA_URLS (${replicas.length}), got: ${admins.length}`,
    );
  }
  const pooled = v.REPLICA_POOLED_URLS;
  if (pooled && pooled.length !== replicas.length) {
    throw new SetupError(
      `REPLICA_POOLED_URLS must name as many servers as REPLICA_URLS (${replicas.length}), got: ${pooled.length}`,
    );
  }
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
