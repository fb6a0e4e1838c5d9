import type { Config, DatabaseConfig, DatabaseUrls } from '../boot/config.ts';
import { connect, type Sql } from '../database/connect.ts';
import { named } from '../database/named.ts';
import { refusalOf } from '../database/refusal.ts';
import { describeUrl, formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { withinMs } from '../lib/within.ts';
import { providerOf, type Provider } from './providers.ts';

/** A server as its administrator sees it: a name for people, and a connection that may set it up. */
export interface Server {
  name: string;
  /** Host, port and database. */
  at: string;
  admin: Sql;
  /** Of the primary: how replicas reach it, as it is configured. */
  replicationUrl?: string;
  /** Of the primary: how it is reached as the login of that, where it names one with its password. */
  replicator?: string;
}

/** A server as its operator sees it: a connection that may look at everything, and the URLs that are configured. */
export interface OperatedServer extends Server {
  urls: DatabaseUrls;
}

export interface Servers {
  primary: OperatedServer;
  /** Named replica-1, replica-2, … as everywhere, in the order of the configuration. */
  replicas: OperatedServer[];
}

/** What a server is; its SQL is in the folders of that name. */
export type Side = 'primary' | 'replica';

type ConnectConfig = Pick<Config, 'DB_CONNECT_TIMEOUT_MS'>;

/** One connection to look after a server; it is the caller's to end. */
export function openServer(
  name: string,
  url: string,
  { DB_CONNECT_TIMEOUT_MS }: ConnectConfig,
  purpose: string,
): Server {
  const at = describeUrl(url);
  const options = { max: 1, connectTimeoutMs: DB_CONNECT_TIMEOUT_MS, applicationName: `readback ${purpose}` };
  return { name, at, admin: named(connect(url, options), `${name} (${at})`) };
}

/** Opens one connection to each server for `work`; whatever it leaves undone on them ends with it. */
export async function withServers<T>(
  databases: DatabaseConfig,
  config: ConnectConfig,
  purpose: string,
  work: (servers: Servers) => Promise<T>,
): Promise<T> {
  const open = (name: string, urls: DatabaseUrls): OperatedServer => ({
    ...openServer(name, urls.adminUrl, config, purpose),
    urls,
  });
  const primary = { ...open('primary', databases.primary), ...replicationOf(databases) };
  const replicas = databases.replicas.map((urls, index) => open(`replica-${index + 1}`, urls));
  try {
    return await work({ primary, replicas });
  } finally {
    await Promise.all([primary, ...replicas].map(({ admin }) => admin.end({ timeout: 1 })));
  }
}

/** Replicas may know the primary by another address than this machine does. */
function replicationOf({ primary, replicationUrl }: DatabaseConfig): Pick<Server, 'replicationUrl' | 'replicator'> {
  if (replicationUrl === undefined) return {};
  const { user, password } = parseDatabaseUrl(replicationUrl);
  if (user === undefined || password === '') return { replicationUrl };
  return { replicationUrl, replicator: formatDatabaseUrl({ ...parseDatabaseUrl(primary.adminUrl), user, password }) };
}

/** Why a server cannot be used; undefined where it answers. One that accepts connections and then hangs is found, too. */
export async function unreachable({ admin }: Server, timeoutMs: number): Promise<string | undefined> {
  try {
    await withinMs(admin`select 1`, timeoutMs);
    return undefined;
  } catch (error) {
    const refusal = refusalOf(error);
    return refusal
      ? `${refusal.reason}. ${refusal.remedy.replace(/\.$/, '')}`
      : (error as Error).message || 'no reason given';
  }
}

/** A part of those given whose server answers. */
export async function reachableOf<T extends Server>(servers: T[], timeoutMs: number): Promise<T[]> {
  const reasons = await Promise.all(servers.map((server) => unreachable(server, timeoutMs)));
  return servers.filter((_, index) => reasons[index] === undefined);
}

/** What every version answers to anybody. */
export interface Basics {
  /** As server_version_num: 180004. */
  version: number;
  walLevel: string;
  trackCommitTimestamp: string;
  isSuperuser: boolean;
  isStandby: boolean;
  /** Cluster and database. */
  identity: string;
  /** Null: somebody's own server. */
  provider: Provider | null;
}

export async function basicsOf(sql: Sql): Promise<Basics> {
  const [basics] = await sql<[Omit<Basics, 'provider'>]>`
    select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
           current_setting('track_commit_timestamp') as track_commit_timestamp,
           (select rolsuper from pg_roles where rolname = current_user) as is_superuser,
           pg_is_in_recovery() as is_standby,
           (select system_identifier from pg_control_system()) || '/' || current_database() as identity`;
  return { ...basics, provider: await providerOf(sql) };
}

export const describeVersion = (version: number) => `${Math.floor(version / 10_000)}.${version % 10_000}`;
