import { setTimeout as sleep } from 'node:timers/promises';
import type { Config, DatabaseConfig } from '../config.ts';
import { connect, describeUrl } from '../db/connect.ts';
import { SetupError } from '../lib/errors.ts';
import type { Lsn } from '../lib/lsn.ts';
import { awaitInitialCopy } from './copy.ts';
import { allowLogin } from './logins.ts';
import { migrate } from './migrate.ts';
import { subscribe } from './replicate.ts';
import { checkRequirements, type Server } from './requirements.ts';

type Say = (line: string) => void;
type SetupConfig = Pick<Config, 'DB_CONNECT_TIMEOUT_MS' | 'INITIAL_COPY_TIMEOUT_MS'>;

const FIRST_BEAT_TIMEOUT_MS = 30_000;

/**
 * Makes the servers ready: checked, migrated, replicating and copied. Running it again changes nothing.
 * @throws SetupError with one line for each thing to mend.
 */
export async function setUp(databases: DatabaseConfig, config: SetupConfig, say: Say): Promise<void> {
  const servers = openServers(databases, config);
  try {
    await setUpServers(servers.primary, servers.replicas, databases, config, say);
  } finally {
    await Promise.all([servers.primary, ...servers.replicas].map(({ admin }) => admin.end({ timeout: 5 })));
  }
}

function openServers(databases: DatabaseConfig, config: SetupConfig) {
  const open = (name: string, url: string): Server => ({
    name,
    at: describeUrl(url),
    admin: connect(url, { max: 1, connectTimeoutMs: config.DB_CONNECT_TIMEOUT_MS, applicationName: 'readback setup' }),
  });
  return {
    primary: open('primary', databases.primary.adminUrl),
    replicas: databases.replicas.map(({ adminUrl }, index) => open(`replica-${index + 1}`, adminUrl)),
  };
}

async function setUpServers(
  primary: Server,
  replicas: Server[],
  databases: DatabaseConfig,
  config: SetupConfig,
  say: Say,
) {
  await checkRequirements(primary, replicas);
  // Two that set up at once take turns: the lock is the session's, and goes with it.
  await primary.admin`select pg_advisory_lock(hashtextextended('readback.setup', 0))`;
  await Promise.all([
    bringUpToDate(primary, 'primary', say),
    ...replicas.map((replica) => bringUpToDate(replica, 'replica', say)),
  ]);
  await allowLogin(primary, databases.primary.url, ['readback_writer', 'readback_reader']);
  for (const [index, replica] of replicas.entries()) {
    await allowLogin(replica, databases.replicas[index]!.url, ['readback_reader']);
    await subscribe(primary, replica, replicationUrl(databases));
  }
  await Promise.all(replicas.map((replica) => awaitInitialCopy(replica, config.INITIAL_COPY_TIMEOUT_MS, say)));
  await awaitFirstBeat(primary, replicas);
}

async function bringUpToDate(server: Server, side: 'primary' | 'replica', say: Say): Promise<void> {
  for (const file of await migrate(server, side)) say(`${server.name}: applied ${file}`);
}

/** Without a user in it, each replica gets a login of its own. */
function replicationUrl({ primary, replicationUrl }: DatabaseConfig): string {
  if (replicationUrl !== undefined) return replicationUrl;
  const url = new URL(primary.adminUrl);
  url.username = '';
  url.password = '';
  return url.href;
}

/** Each replica has applied one transaction before anyone reads positions from it: none is unknown later. */
async function awaitFirstBeat({ admin }: Server, replicas: Server[]): Promise<void> {
  await admin`update readback.heartbeat set beat_at = clock_timestamp()`;
  const [{ flushed }] = await admin<[{ flushed: Lsn }]>`select pg_current_wal_flush_lsn() as flushed`;
  await Promise.all(replicas.map((replica) => awaitPosition(replica, flushed)));
}

async function awaitPosition({ name, at, admin }: Server, target: Lsn): Promise<void> {
  for (const deadline = Date.now() + FIRST_BEAT_TIMEOUT_MS; ; await sleep(10)) {
    const [state] = await admin<
      [{ applied: Lsn | null; enabled: boolean }]
    >`select applied, enabled from readback.position()`;
    if (!state.enabled) return; // someone disabled it: served as such, and said by health
    if (state.applied !== null && state.applied >= target) return;
    if (Date.now() > deadline) return Promise.reject(new SetupError(behind(name, at)));
  }
}

const behind = (name: string, at: string) =>
  `${name} (${at}): a heartbeat written on the primary did not arrive within ${FIRST_BEAT_TIMEOUT_MS} ms. Its log says why the apply worker does not get on.`;
