import type { Config, DatabaseConfig } from '../boot/config.ts';
import { pooledWays } from '../database/pooled.ts';
import { formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import type { Say } from '../lib/logger.ts';
import { completeLogs, NothingArrives } from './log-state.ts';
import { allowLogin, allowPooled, makeRoles, ROLES } from './logins.ts';
import { migrate } from './migrate.ts';
import { awaitSubscription, subscribeReplica } from './replicate.ts';
import { checkRequirements } from './requirements.ts';
import { withServers, type Server, type Servers } from './servers.ts';
import { letPast, refuseHidden, sayWhatStops } from './stops.ts';
import { publishedTables } from './shapes.ts';
import { compareTexts } from './texts.ts';

export type SetupConfig = Pick<
  Config,
  | 'DB_CONNECT_TIMEOUT_MS'
  | 'STATEMENT_TIMEOUT_MS'
  | 'INITIAL_COPY_TIMEOUT_MS'
  | 'SUBSCRIPTIONS'
  | 'POOLER_CHECK'
  | 'REPLICA_SYNCHRONOUS_COMMIT'
>;

const MAY_LOSE =
  'REPLICA_SYNCHRONOUS_COMMIT is off: a replica that crashes may lose transactions which it has confirmed, and the primary does not send them again (docs/durability.md).';

/**
 * Makes the servers ready: checked, migrated, replicating and copied. Running it again changes nothing, and so does
 * running it while the system is in use. `sqlFolder` is the project's where it is left out.
 * @throws SetupError with one line for each thing to repair.
 */
export async function setUp(
  databases: DatabaseConfig,
  config: SetupConfig,
  say: Say,
  sqlFolder?: string,
  beatTimeoutMs?: number,
): Promise<void> {
  await withServers(databases, config, 'setup', async (servers) => {
    const { primary, replicas } = servers;
    await checkRequirements(primary, replicas, config);
    // Two that set up at once take turns: the lock is the session's, and goes with it.
    await primary.admin`select pg_advisory_lock(hashtextextended('readback.setup', 0))`;
    for (const replica of replicas) await compareTexts(primary, replica, say);
    await makeRoles(primary, ROLES.primary);
    for (const replica of replicas) await makeRoles(replica, ROLES.replica);
    await migrate(primary, replicas, say, sqlFolder);
    await replicate(servers, replicationUrl(databases), config, say);
    for (const server of [primary, ...replicas])
      for (const way of pooledWays(server.urls, config)) await allowPooled(server, way);
    const reads = primary.urls.pooled?.reads;
    if (reads !== undefined)
      await letPast(primary.admin, await publishedTables(primary.admin), [parseDatabaseUrl(reads).user ?? '']);
    if (config.REPLICA_SYNCHRONOUS_COMMIT === 'off') say(MAY_LOSE);
    await completeLogs(primary, replicas, config.INITIAL_COPY_TIMEOUT_MS, say, beatTimeoutMs);
  });
}

/**
 * The same for a server that is to run. A replica where nothing arrives is named, and no reason not to serve: the server
 * passes it over, and whoever repairs it needs the databases, which may be this process's own.
 */
export async function setUpToServe(
  databases: DatabaseConfig,
  config: SetupConfig,
  say: Say,
  beatTimeoutMs?: number,
): Promise<void> {
  try {
    await setUp(databases, config, say, undefined, beatTimeoutMs);
  } catch (error) {
    if (!(error instanceof NothingArrives)) throw error;
    say(`${error.message}\n${PASSED_OVER}`);
  }
}

const PASSED_OVER = 'Reads go to the other servers until it does; readback doctor names the cause and the remedy.';

async function replicate({ primary, replicas }: Servers, url: string, config: SetupConfig, say: Say): Promise<void> {
  const tables = await publishedTables(primary.admin);
  await readAll(primary, tables, say);
  for (const replica of replicas) await refuseHidden(replica, tables, ['readback_reader']);
  await allowLogin(primary, primary.urls.url, ROLES.primary);
  for (const replica of replicas) {
    await allowLogin(replica, replica.urls.url, ROLES.replica);
    await sayWhatStops(primary, replica, say);
    const pair = { primary, replica, ...subscribingAs(config) };
    if (config.SUBSCRIPTIONS === 'awaited') await awaitSubscription(pair, url, say);
    else await subscribeReplica(pair, url);
  }
}

/** How a replica is to be subscribed, by the configuration. */
export const subscribingAs = ({ REPLICA_SYNCHRONOUS_COMMIT: commit, DB_CONNECT_TIMEOUT_MS }: SetupConfig) => ({
  commit,
  connectTimeoutMs: DB_CONNECT_TIMEOUT_MS,
});

/** Row level security holds for writes alone: what is read there is what the replicas have, by Readback's own rules. */
async function readAll(primary: Server, tables: string[], say: Say): Promise<void> {
  for (const table of await letPast(primary.admin, tables, ['readback_reader']))
    say(
      `primary: ${table} has row level security: reads go by the rights of its declaration, writes by its policies, too`,
    );
  await refuseHidden(primary, tables, ['readback_reader']);
}

/** Without a user in it, each replica gets a login of its own. */
export function replicationUrl({ primary, replicationUrl }: DatabaseConfig): string {
  if (replicationUrl !== undefined) return replicationUrl;
  return formatDatabaseUrl({ ...parseDatabaseUrl(primary.adminUrl), user: undefined });
}
