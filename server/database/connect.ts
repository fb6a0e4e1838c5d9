import postgres from 'postgres';
import { parseDatabaseUrl, type DatabaseUrl } from '../lib/database-url.ts';
import type { Connections } from './connections.ts';
import { Fence } from './fence.ts';
import { gatedSocket } from './gate.ts';
import { sessionSettings } from './settings.ts';
import { readTls } from './tls.ts';
import { isoTimestamp } from '../lib/time.ts';
import { formatLsn, parseLsn, type Lsn } from '../lib/lsn.ts';

/** Timestamps arrive as ISO 8601 text in UTC, with microseconds; WAL positions as bigint. */
const types = {
  timestamptz: { to: 1184, from: [1184], parse: isoTimestamp, serialize: (value: string) => value },
  // Dates and times without a zone are texts, too: JavaScript has none.
  date: { to: 1114, from: [1082, 1114], parse: (text: string) => text, serialize: (value: string) => value },
  lsn: { to: 3220, from: [3220], parse: parseLsn, serialize: (value: Lsn) => formatLsn(value) },
};

export type Sql = postgres.Sql<{ timestamptz: string; date: string; lsn: Lsn }>;
/** A statement that is not sent yet: it is when it is awaited or executed. */
export type Statement<Row extends object> = postgres.PendingQuery<Row[]>;
/** A part of a statement. */
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

export interface ConnectOptions {
  /** Role that each session takes on. Left out: the login's own rights. */
  role?: 'readback_writer' | 'readback_reader' | 'readback_pruner';
  /** Connections at most. */
  max: number;
  /** Statements that wait on a connection for the one that runs there, while all connections are taken, at most. Left out: 100. */
  pipeline?: number;
  connectTimeoutMs: number;
  /** Left out: no limit. */
  statementTimeoutMs?: number;
  readOnly?: boolean;
  applicationName: string;
  /** Behind a pooler, which keeps neither settings nor statements of a session: its login has them. Left out: not. */
  pooled?: PooledOptions;
  /** Of all pools that go there; a Fence, where the URL has several hosts. Left out: of this pool alone. */
  connections?: Connections;
  /** A connection of the pool closed, asked for or not. */
  closed?: () => void;
  /** A notification arrived on a channel that one of the pool's connections listens on. */
  notified?: () => void;
}

export interface PooledOptions {
  /** Awaited before each connection; its failure is that of the connection. */
  allowed?: () => Promise<void>;
}

/** A lazily connecting pool: nothing is sent before the first statement. */
export function connect(text: string, options: ConnectOptions): Sql {
  const url = parseDatabaseUrl(text);
  const own = url.parameters.get('options');
  return postgres({
    ...hostsOf(url, options.connections),
    ...(url.user !== undefined && { username: url.user }),
    password: url.password,
    ssl: readTls(url.parameters),
    ...(url.parameters.get('sslnegotiation') === 'direct' && { sslnegotiation: 'direct' }),
    max: options.max,
    ...(options.pipeline !== undefined && { max_pipeline: options.pipeline }),
    connect_timeout: options.connectTimeoutMs / 1000,
    backoff: (attempt: number) => Math.min(0.05 * 2 ** attempt, 1),
    // Connections last: one that closes has a reason, which `closed` is told.
    max_lifetime: null,
    onnotice: () => {},
    ...(options.closed && { onclose: options.closed }),
    ...(options.notified && { onnotify: options.notified }),
    types,
    // created_at in SQL is createdAt in code, both ways.
    transform: { column: { from: postgres.toCamel, to: postgres.fromCamel } },
    ...(options.pooled && { prepare: false }),
    ...(options.pooled?.allowed && { socket: gatedSocket(options.pooled.allowed) }),
    // What is said twice is as said last: `options` of the URL come first.
    connection: {
      ...(own !== undefined && { options: own }),
      application_name: options.applicationName,
      ...(!options.pooled && ownSettings(options)),
    },
  });
}

/** One connection, which ends with the work. */
export async function withConnection<T>(
  url: string,
  options: Pick<ConnectOptions, 'connectTimeoutMs' | 'applicationName'>,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const sql = connect(url, { ...options, max: 1 });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

const ownSettings = (options: ConnectOptions) => ({
  ...sessionSettings(options),
  ...(options.role && { role: options.role }),
});

/** The driver takes lists, of which its types know nothing, as of `admission`: see infra/patches. */
function hostsOf({ hosts, database }: DatabaseUrl, connections?: Connections): { database: string } {
  const lists = { host: hosts.map(({ host }) => host), port: hosts.map(({ port }) => port) };
  const admission = connections ?? (hosts.length > 1 ? new Fence() : undefined);
  return { ...lists, database, ...(admission && { admission }) };
}

/** `createdAt` as `created_at`. */
export const columnName = postgres.fromCamel;

/** `created_at` as `createdAt`. */
export const fieldName = postgres.toCamel;

/** A name for a statement that takes no parameter there. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
