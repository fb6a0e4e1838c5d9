import type { DatabaseConfig } from '../boot/config.ts';
import { SetupError } from '../lib/errors.ts';
import { completeLogs as complete } from '../setup/log-state.ts';
import { subscribe } from '../setup/replicate.ts';
import { replicationUrl } from '../setup/setup.ts';
import { reachableOf, type OperateConfig, type OperatedServer, type Servers } from './servers.ts';

export interface Attaching {
  servers: Servers;
  databases: DatabaseConfig;
  config: OperateConfig;
  say: (line: string) => void;
}

/** Set-up and repairs of the same system take turns: the lock is the session's, and goes with it. */
export async function lockSetup({ admin }: OperatedServer): Promise<void> {
  const [row] = await admin<
    [{ locked: boolean }]
  >`select pg_try_advisory_lock(hashtextextended('readback.setup', 0)) as locked`;
  if (!row.locked)
    throw new SetupError('Somebody else sets these databases up at the moment: try again when that has ended.');
}

/** Subscribes the replica, or repairs its subscription, and returns when all that it takes is copied. */
export async function attach(replica: OperatedServer, { servers, databases, config, say }: Attaching): Promise<void> {
  await subscribe(servers.primary, replica, replicationUrl(databases), config.REPLICA_SYNCHRONOUS_COMMIT);
  await completeLogs({ servers, databases, config, say });
}

/** A log begins to be good when all copies have ended; a replica that is away has its log noted by the next set-up. */
export async function completeLogs({ servers, config, say }: Attaching): Promise<void> {
  const replicas = await subscribedOf(await reachableOf(servers.replicas, config.DB_CONNECT_TIMEOUT_MS));
  await complete(servers.primary, replicas, config.INITIAL_COPY_TIMEOUT_MS, say);
}

async function subscribedOf(replicas: OperatedServer[]): Promise<OperatedServer[]> {
  const counts = await Promise.all(
    replicas.map(
      ({ admin }) => admin`
        select from pg_subscription where subname = 'readback'
          and subdbid = (select oid from pg_database where datname = current_database())`,
    ),
  );
  return replicas.filter((_, index) => counts[index]!.length > 0);
}
