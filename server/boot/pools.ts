import type { Config, DatabaseUrls } from './config.ts';
import { connect, type ConnectOptions, type Sql } from '../database/connect.ts';
import { Connections } from '../database/connections.ts';
import { Fence } from '../database/fence.ts';
import { Listener } from '../database/listener.ts';
import { observed } from '../database/observed.ts';
import { PooledGate, POOLED_ROLES } from '../database/pooled.ts';
import { withShares } from '../database/shares.ts';
import { Snapshots, VIEWS_MAX } from '../feed/snapshots.ts';
import type { FeedSource } from '../feed/source.ts';
import { complainTo, type Complain } from '../lib/complaints.ts';
import { describeUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import type { Logger } from '../lib/logger.ts';
import { formatLsn } from '../lib/lsn.ts';
import type { Observer } from '../lib/observer.ts';
import type { Releasers } from '../lib/releasers.ts';
import { withinMs } from '../lib/within.ts';
import { Primary } from '../replication/primary.ts';
import { Replica } from '../replication/replica.ts';
import { SlotWatch } from '../replication/slots.ts';
import type { ReplicaState, ReplicaView } from '../replication/state.ts';
import { WRITES_PIPELINE } from '../database/writes.ts';
import { flush } from '../database/sql/positions.ts';
import { giveUpSlot } from '../database/sql/slots.ts';

type PoolOptions = Pick<ConnectOptions, 'role' | 'max' | 'pipeline' | 'closed' | 'notified' | 'pooled'> & {
  name: string;
};

const END_TIMEOUT_S = 3;
const OUTDATED =
  'a server that was the primary before, and was replaced, takes writes: it is not used. Stop it, or make it a standby.';
const TRANSACTIONS_LOST =
  'a crash of the replica has taken a transaction that it had confirmed, so it never gets that again, and is passed over: run readback doctor --fix, which copies it again.';

/** Opens connection pools, and closes them with the server. */
export class Pools {
  readonly #config: Config;
  readonly #observer: Observer;
  readonly #log: Logger;
  readonly complain: Complain;
  readonly #open: Sql[] = [];
  readonly #connections = new Map<string, Connections>();

  constructor(config: Config, observer: Observer, releasers: Releasers, log: Logger) {
    this.#config = config;
    this.#observer = observer;
    this.#log = log;
    this.complain = complainTo(log);
    // All at once: a server that is away makes each wait its whole time.
    releasers.add('connections', () => Promise.all(this.#open.map((sql) => sql.end({ timeout: END_TIMEOUT_S }))));
  }

  open(url: string, options: PoolOptions): Sql {
    const sql = this.#connect(url, options);
    this.#open.push(sql);
    return observed(sql, this.#observer.pool(options.name, options.max));
  }

  /** Through the pooler, where there is one for this. */
  openFor(what: keyof typeof POOLED_ROLES, urls: DatabaseUrls, options: Omit<PoolOptions, 'role'>): Sql {
    const role = POOLED_ROLES[what];
    const url = urls.pooled?.[what];
    if (url === undefined) return this.open(urls.url, { ...options, role });
    const gate = new PooledGate({
      url,
      directUrl: urls.url,
      role,
      connectTimeoutMs: this.#config.DB_CONNECT_TIMEOUT_MS,
      statementTimeoutMs: this.#config.STATEMENT_TIMEOUT_MS,
    });
    const closed = () => {
      gate.forget();
      options.closed?.();
    };
    return this.open(url, { ...options, closed, pooled: { allowed: gate.allowed } });
  }

  /** For reads of requests: no spender has all of its connections, where there are limits. */
  openReads(urls: DatabaseUrls, options: Omit<PoolOptions, 'role'>): Sql {
    const sql = this.openFor('reads', urls, options);
    return this.#config.COST_PER_SECOND_MAX > 0 ? withShares(sql, options.max) : sql;
  }

  /** Of several hosts, all connections of the process go to the same one. */
  connectionsTo(url: string): Connections {
    const at = describeUrl(url);
    const known = this.#connections.get(at);
    if (known) return known;
    const fence = () => new Fence((timelines) => this.#log.error({ at, ...timelines }, OUTDATED));
    const made = parseDatabaseUrl(url).hosts.length > 1 ? fence() : new Connections();
    this.#connections.set(at, made);
    return made;
  }

  /** It does not answer, and nothing that goes there will be answered. */
  leaveReplica({ url, pooled }: DatabaseUrls): void {
    for (const each of [url, pooled?.reads]) if (each !== undefined) this.connectionsTo(each).leaveAll();
  }

  /** Where it is the only host, there is no other to go to, and what waits for it may be answered yet. */
  leavePrimary({ url }: DatabaseUrls): void {
    const connections = this.connectionsTo(url);
    if (connections instanceof Fence) connections.leaveAll();
  }

  listener(name: string, url: string, rang: () => void): Listener {
    return new Listener({
      open: (hooks) => this.#connect(url, { role: 'readback_reader', max: 1, name: `listener of ${name}`, ...hooks }),
      channel: 'readback',
      rang,
      heartbeatMs: this.#config.LISTEN_HEARTBEAT_MS,
      complain: this.complain,
    });
  }

  #connect(url: string, { name, ...options }: PoolOptions): Sql {
    return connect(url, {
      ...options,
      connections: this.connectionsTo(url),
      readOnly: options.role === 'readback_reader',
      connectTimeoutMs: this.#config.DB_CONNECT_TIMEOUT_MS,
      statementTimeoutMs: this.#config.STATEMENT_TIMEOUT_MS,
      applicationName: `readback ${name}`,
    });
  }
}

export function openPrimary(config: Config, pools: Pools, urls: DatabaseUrls): Primary {
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

/** A closed connection may be a crash, after which the replica has forgotten its latest transactions. */
export function openReplica(
  config: Config,
  pools: Pools,
  name: string,
  urls: DatabaseUrls,
  primary: Primary,
  isSlotLost: (slot: string) => boolean,
  log: Logger,
): Replica {
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
      noted: (slot) => withinMs(primary.noted(slot), config.REPLICA_LOOK_TIMEOUT_MS / 2),
      note: primary.note,
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
export function openSlotWatch(
  config: Config,
  pools: Pools,
  url: string,
  primary: Primary,
  replicas: readonly Replica[],
  log: Logger,
): SlotWatch {
  const giver = pools.open(url, { role: 'readback_pruner', max: 1, name: 'slots' });
  return new SlotWatch({
    look: primary.slots,
    giveUp: (name, moreThanBytes) => giveUpSlot(giver, name, moreThanBytes),
    replicas,
    warnBytes: config.SLOT_WAL_WARN_BYTES,
    maxBytes: config.SLOT_WAL_MAX_BYTES,
    action: config.SLOT_ACTION,
    everyMs: config.SLOT_WATCH_MS,
    log,
  });
}

/** The replica's change log, as the feed reads it. */
export function openFeedSource(
  config: Config,
  pools: Pools,
  url: string,
  { name, view }: ViewOf,
  closed: (name: string) => void,
): FeedSource {
  const open = (max: number, what: string) =>
    pools.open(url, { role: 'readback_reader', max, name: `${what} of ${name}`, closed: () => closed(name) });
  return {
    name,
    reader: open(1, 'feed'),
    replay: open(REPLAY_CONNECTIONS, 'replay'),
    snapshots: new Snapshots(open(VIEWS_MAX, 'snapshots'), config.SNAPSHOT_MAX_MS),
    fitness: () => (view().proven ? FITNESS[view().state] : 'away'),
    lagMs: () => view().lagMs,
    settled: () => settledOf(view()),
  };
}

interface ViewOf {
  name: string;
  view: () => ReplicaView;
}

/** For clients that come from earlier places in the log. Each reads some changes, and sends them without a connection. */
const REPLAY_CONNECTIONS = 2;

const FITNESS: Record<ReplicaState, ReturnType<FeedSource['fitness']>> = {
  streaming: 'growing',
  lagging: 'standing',
  copying: 'standing',
  disabled: 'standing',
  lost: 'standing',
  reachable: 'standing',
  down: 'away',
};

/** Where its latest transaction ended, once that can be read. */
const settledOf = ({ applied, progress }: ReplicaView) =>
  applied !== null && progress !== null && applied >= progress ? progress : null;
