import type { Config, DatabaseConfig, DatabaseUrls } from './config.ts';
import type { Pools } from './pools.ts';
import { flush, notedOf, noteSeen } from '../database/sql/positions.ts';
import { giveUpSlot } from '../database/sql/slots.ts';
import { WRITES_PIPELINE } from '../database/writes.ts';
import type { Logger } from '../lib/logger.ts';
import { formatLsn } from '../lib/lsn.ts';
import type { Releasers } from '../lib/releasers.ts';
import { withinMs } from '../lib/within.ts';
import { Monitor } from '../replication/monitor.ts';
import { Primary } from '../replication/primary.ts';
import { Replica } from '../replication/replica.ts';
import { SlotWatch } from '../replication/slots.ts';

/** What is composed here is made of these. What is opened is closed by the releasers. */
export interface Parts {
  config: Config;
  databases: DatabaseConfig;
  pools: Pools;
  releasers: Releasers;
  log: Logger;
}

/** The primary, its replicas, and the watch over both. */
export interface Servers {
  primary: Primary;
  replicas: readonly Replica[];
  slots: SlotWatch;
  monitor: Monitor;
}

const TRANSACTIONS_LOST =
  'a crash of the replica has taken a transaction that it had confirmed, so it never gets that again, and is passed over: run readback doctor --fix, which copies it again.';

/** Nothing is asked of them until the monitor is started. */
export function openServers(parts: Parts): Servers {
  const { config, databases, pools, releasers } = parts;
  const primary = openPrimary(parts);
  const isSlotLost = (slot: string) => slots.isLost(slot);
  const replicas = databases.replicas.map((urls, index) =>
    openReplica(parts, { name: `replica-${index + 1}`, urls, primary, isSlotLost }),
  );
  const slots: SlotWatch = openSlotWatch(parts, primary, replicas);
  const monitor = new Monitor(primary, replicas, config.MONITOR_INTERVAL_MS, pools.complain);
  releasers.add('slots', () => slots.stop());
  releasers.add('monitor', () => monitor.stop());
  monitor.watch(() => slots.round());
  return { primary, replicas, slots, monitor };
}

function openPrimary({ config, databases, pools }: Parts): Primary {
  const urls = databases.primary;
  const closed = () => primary.lost();
  const primary: Primary = new Primary(
    {
      writer: pools.openFor('writes', urls, {
        max: config.PRIMARY_POOL_SIZE,
        pipeline: WRITES_PIPELINE,
        name: 'writes',
      }),
      reader: pools.openReads(urls, {
        max: Math.max(1, config.PRIMARY_READS_MAX),
        name: 'reads of the primary',
      }),
      watch: pools.open(urls.url, { role: 'readback_reader', max: 1, name: 'watch of the primary', closed }),
    },
    {
      lookTimeoutMs: config.DB_CONNECT_TIMEOUT_MS,
      silent: () => pools.leavePrimary(urls),
      answerTimeoutMs: config.OPERATION_TIMEOUT_MS,
      complain: pools.complain,
    },
  );
  return primary;
}

interface Of {
  name: string;
  urls: DatabaseUrls;
  primary: Primary;
  isSlotLost: (slot: string) => boolean;
}

/** A closed connection may be a crash, after which the replica has forgotten its latest transactions. */
function openReplica({ config, pools, log }: Parts, { name, urls, primary, isSlotLost }: Of): Replica {
  const closed = () => replica.lost();
  const replica: Replica = new Replica({
    name,
    reader: pools.openReads(urls, { max: config.REPLICA_POOL_SIZE, name: `reads of ${name}`, closed }),
    watch: pools.open(urls.url, { role: 'readback_reader', max: 1, name: `watch of ${name}`, closed }),
    lookTimeoutMs: config.REPLICA_LOOK_TIMEOUT_MS,
    silentMs: config.DB_CONNECT_TIMEOUT_MS,
    silent: () => pools.leaveReplica(urls),
    maxLagMs: config.REPLICA_MAX_LAG_MS,
    lagOf: (applied) => primary.clock.lagOf(applied, performance.now()),
    isSlotLost,
    seen: {
      noted: (slot) => withinMs(notedOf(primary.watch, slot), config.REPLICA_LOOK_TIMEOUT_MS / 2),
      note: (slot, logId, at, isLost) => noteSeen(primary.writer, slot, logId, at, isLost),
      lost: (missing) => log.error({ replica: name, missing: formatLsn(missing) }, TRANSACTIONS_LOST),
    },
    isPrimaryReachable: () => primary.reachable,
    complain: pools.complain,
    ...(config.REPLICA_SYNCHRONOUS_COMMIT === 'off' && { restarted: openFlusher(pools, name, urls.url, log) }),
  });
  return replica;
}

/** A new worker confirms what its predecessor has committed: the sooner that is on the disk, the less a crash can take. */
function openFlusher(pools: Pools, name: string, url: string, log: Logger): () => void {
  const flusher = pools.open(url, { role: 'readback_pruner', max: 1, name: `flush of ${name}` });
  return () => void flush(flusher).catch((error: unknown) => log.warn({ err: error }, `${name} was not flushed`));
}

/** The watch of what the primary keeps for its replicas: it needs a connection of its own only to give a slot up. */
function openSlotWatch(
  { config, databases, pools, log }: Parts,
  primary: Primary,
  replicas: readonly Replica[],
): SlotWatch {
  const giver = pools.open(databases.primary.url, { role: 'readback_pruner', max: 1, name: 'slots' });
  return new SlotWatch({
    look: primary.slots,
    giveUp: (name, moreThanBytes) => giveUpSlot(giver, name, moreThanBytes),
    replicas,
    warnBytes: config.SLOT_WAL_WARN_BYTES,
    maxBytes: config.SLOT_WAL_MAX_BYTES,
    action: config.SLOT_ACTION,
    everyMs: config.SLOT_WATCH_MS,
    log,
    complain: pools.complain,
  });
}
