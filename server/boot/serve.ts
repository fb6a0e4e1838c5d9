import { project } from '../../schema/project.ts';
import { pino, type DestinationStream } from 'pino';
import { checkUrls } from './check-urls.ts';
import type { Config, DatabaseConfig } from './config.ts';
import { listenHttp, listenMetrics } from './listen.ts';
import { openFeedSource, openPrimary, openReplica, openSlotWatch, Pools } from './pools.ts';
import { Access, NOBODY } from '../auth/access.ts';
import { SigningKeys } from '../auth/keys.ts';
import { LiveSubscriptions } from '../auth/live.ts';
import { Renewals } from '../auth/renewals.ts';
import { Sessions } from '../auth/sessions.ts';
import { Throttle } from '../auth/throttle.ts';
import { Tokens } from '../auth/tokens.ts';
import { allTables, declarationOf } from '../declare/declaration.ts';
import { Feed } from '../feed/feed.ts';
import { Pruner } from '../feed/pruner.ts';
import { describeFeed } from '../feed/state.ts';
import { FanOut } from '../feed/fan-out/fan-out.ts';
import type { Complain } from '../lib/complaints.ts';
import type { Logger } from '../lib/logger.ts';
import { Hasher } from '../lib/password.ts';
import { Releasers } from '../lib/releasers.ts';
import { withinMs } from '../lib/within.ts';
import { Arrivals } from '../reads/arrivals.ts';
import { Confirmer } from '../reads/confirm.ts';
import { Monitor } from '../replication/monitor.ts';
import type { Primary } from '../replication/primary.ts';
import type { Replica } from '../replication/replica.ts';
import { Router } from '../reads/router.ts';
import type { SlotWatch } from '../replication/slots.ts';
import { TableSizes } from '../replication/sizes.ts';
import { ReplicationStatus } from '../replication/status.ts';
import { TableWatch } from '../replication/tables.ts';
import { describeError, operationLog } from '../observe/log.ts';
import { Observation } from '../observe/observer.ts';

export interface Server {
  host: string;
  port: number;
  /** Of the listener for metrics alone, where there is one. */
  metricsPort: number | undefined;
  /** Live subscriptions to changes. */
  subscribers: () => number;
  /** Kinds of subscriptions, each event of which is rendered once. */
  groups: () => number;
  /** Clients closed so far because they did not take what was sent. */
  slowClients: () => number;
  stop: () => Promise<void>;
}

/** Builds the server over databases that are set up, and listens. Whatever fails, what was opened before is closed. */
export async function serve(config: Config, databases: DatabaseConfig, log = createLog(config)): Promise<Server> {
  const releasers = new Releasers();
  const stop = () => releasers.run((name, error) => log.error({ err: error }, `stopping: ${name} failed`));
  try {
    return { ...(await build(config, databases, log, releasers)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Its lines go to stderr, or where they are told to go. */
export function createLog(
  { LOG_LEVEL }: Pick<Config, 'LOG_LEVEL'>,
  destination: DestinationStream = pino.destination(2),
): Logger {
  const redact = ['req.headers.cookie', 'req.headers.authorization'];
  return pino({ level: LOG_LEVEL, redact, serializers: { err: describeError } }, destination);
}

async function build(
  config: Config,
  databases: DatabaseConfig,
  log: Logger,
  releasers: Releasers,
): Promise<Omit<Server, 'stop'>> {
  const { observation, meter } = await observe(config, log, releasers);
  const pools = new Pools(config, observation, releasers, log);
  const primary = openPrimary(config, pools, databases.primary);
  const isSlotLost = (slot: string) => slots.isLost(slot);
  const replicas = databases.replicas.map((urls, index) =>
    openReplica(config, pools, `replica-${index + 1}`, urls, primary, isSlotLost, log),
  );
  const slots: SlotWatch = openSlotWatch(config, pools, databases.primary.url, primary, replicas, log);
  const monitor = new Monitor(primary, replicas, config.MONITOR_INTERVAL_MS, pools.complain);
  releasers.add('slots', () => slots.stop());
  releasers.add('monitor', () => monitor.stop());
  monitor.watch(() => slots.round());
  await Promise.all([checkUrls(config, databases, pools.complain), monitor.start()]);

  const feed = openFeed(config, databases, pools, primary, replicas, log, releasers);
  for (const [index, replica] of replicas.entries()) {
    const rang = () => {
      replica.rang();
      feed.rang();
    };
    const listener = pools.listener(replica.name, databases.replicas[index]!.url, rang);
    releasers.add(`listener of ${replica.name}`, () => listener.stop());
    await listener.start();
  }
  // After LISTEN, so that nothing falls between; and at each round of the monitor, which may have seen a replica change.
  feed.start();
  releasers.add(
    'feed watch',
    monitor.watch(() => feed.rang()),
  );

  const router = new Router(primary, replicas, {
    bookmarkWaitMs: config.BOOKMARK_WAIT_MS,
    stallMs: config.BOOKMARK_STALL_MS,
    primaryReadsMax: config.PRIMARY_READS_MAX,
    complain: pools.complain,
  });
  const accounts = project.accounts ?? NOBODY;
  const renewals = new Renewals(primary, accounts, (id) => sessions.lookAt(id), pools.complain);
  const sessions: Sessions = new Sessions({
    accounts,
    feed,
    router,
    primary,
    renewals,
    complain: pools.complain,
  });
  if (project.accounts) sessions.start();
  releasers.add('sessions', () => sessions.stop());
  releasers.add('renewals', () => renewals.stop());
  if (project.accounts && config.ACCESS === 'protected') await renewals.start();
  const sizes = new TableSizes(
    primary,
    allTables().map(({ name }) => name),
  );
  sizes.round();
  releasers.add(
    'table sizes',
    monitor.watch(() => sizes.round()),
  );
  const tables = new TableWatch(primary, project.tables.map(declarationOf), log);
  releasers.add(
    'tables',
    monitor.watch(() => tables.round()),
  );
  const hasher = new Hasher(
    config.HASH_CONCURRENCY,
    config.HASH_QUEUE,
    config.COST_PER_SECOND_MAX > 0 ? Math.ceil(config.HASH_CONCURRENCY / 2) : config.HASH_CONCURRENCY,
  );
  const services = {
    access: createAccess(config, primary, hasher, renewals, sessions, pools.complain),
    live: new LiveSubscriptions({
      ofOne: {
        most: config.SUBSCRIPTIONS_PER_USER_MAX || Infinity,
        cost: config.SUBSCRIPTION_COST_PER_USER_MAX || Infinity,
      },
      ofNetwork: {
        most: config.SUBSCRIPTIONS_PER_ADDRESS_MAX || Infinity,
        cost: config.SUBSCRIPTION_COST_PER_ADDRESS_MAX || Infinity,
      },
    }),
    primary,
    confirmer: new Confirmer(router, replicas, config.BOOKMARK_WAIT_MS),
    arrivals: new Arrivals(router, replicas, monitor, config.BOOKMARK_WAIT_MS),
    feed,
    hasher,
    status: new ReplicationStatus(
      primary,
      replicas,
      monitor,
      slots,
      () => describeFeed(feed.state),
      () => tables.drifts,
    ),
  };
  const fanOut = new FanOut({
    feed,
    bufferBytes: config.WS_BUFFER_BYTES,
    slowClientTimeoutMs: config.WS_SLOW_CLIENT_TIMEOUT_MS,
  });
  // Mostly a matter of milliseconds: who is sent here then is not turned away at once.
  await withinMs(feed.begun(), FEED_START_MS).catch(() => undefined); // /health/ready tells until it has
  const scrape = meter?.scrape({
    ...services,
    fanOut,
    pools: () => observation.pools,
    slotsTimeoutMs: config.REPLICA_LOOK_TIMEOUT_MS,
    complain: pools.complain,
  });
  const metricsPort = scrape && (await listenMetrics(config, scrape, services.status, releasers));
  const onPort = config.METRICS_PORT === undefined ? scrape : undefined;
  const { host, port } = await listenHttp(
    { config, services, router, sizes, fanOut, observer: observation, scrape: onPort, log },
    releasers,
  );
  return {
    host,
    port,
    metricsPort,
    subscribers: () => fanOut.subscribers,
    groups: () => fanOut.groups,
    slowClients: () => fanOut.slowClients,
  };
}

const FEED_START_MS = 1000;

function createAccess(
  config: Config,
  primary: Primary,
  hasher: Hasher,
  renewals: Renewals,
  sessions: Sessions,
  complain: Complain,
): Access {
  const { writer } = primary;
  const tokenTtlMs = config.ACCESS_TOKEN_TTL_MS;
  const keys = new SigningKeys({
    writer,
    rotationMs: config.ACCESS_KEY_ROTATION_HOURS * HOUR_MS,
    tokenTtlMs,
    complain,
  });
  return new Access({
    isOpen: config.ACCESS === 'open',
    accounts: project.accounts,
    writer,
    answer: (work) => primary.answer(work),
    hasher,
    renewals,
    sessions,
    keys,
    tokens: new Tokens(keys, tokenTtlMs, config.ACCESS_SESSION_HOURS * HOUR_MS),
    throttle: new Throttle({
      failuresPerAccount: config.SIGN_IN_FAILURES_MAX,
      failuresPerAddress: config.SIGN_IN_FAILURES_PER_ADDRESS_MAX,
      signUpsPerAddress: config.SIGN_UPS_PER_ADDRESS_MAX,
      windowMs: config.SIGN_IN_WINDOW_MS,
    }),
  });
}

const HOUR_MS = 3_600_000;

/** What is on METRICS_PORT is for whoever reaches it: on the main port everybody is, so it is there in open mode alone. */
const hasMetrics = ({ ACCESS, METRICS_PORT }: Config) => ACCESS === 'open' || METRICS_PORT !== undefined;

/** Metrics and traces are loaded where they are asked for: they cost memory and time at start. */
async function observe(config: Config, log: Logger, releasers: Releasers) {
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  const meter = hasMetrics(config) ? new (await import('../observe/metrics.ts')).EventMeter() : undefined;
  const tracing = endpoint === undefined ? undefined : new (await import('../observe/tracing.ts')).Tracing(endpoint);
  if (tracing) releasers.add('traces', () => tracing.stop());
  const observation = new Observation({ meter, log: operationLog(log, config.LOG_LEVEL), tracing });
  return { observation, meter };
}

/** The feed, and what keeps its logs small. */
function openFeed(
  config: Config,
  { replicas: urls }: DatabaseConfig,
  pools: Pools,
  primary: Primary,
  replicas: readonly Replica[],
  log: Logger,
  releasers: Releasers,
): Feed {
  const closed = (name: string) => feed.closed(name);
  const sources = replicas.map((replica, index) =>
    openFeedSource(config, pools, urls[index]!.url, { name: replica.name, view: () => replica.view }, closed),
  );
  const feed: Feed = new Feed({
    sources,
    windowChanges: config.FEED_WINDOW_CHANGES,
    settled: () => primary.settled(),
    log,
  });
  const pruner = new Pruner({
    logs: replicas.map(({ name }, index) => ({
      name,
      sql: pools.open(urls[index]!.url, { role: 'readback_pruner', max: 1, name: `pruning of ${name}` }),
    })),
    keepHours: config.CHANGE_LOG_RETENTION_HOURS,
    keepBytes: config.CHANGE_LOG_MAX_BYTES,
    everyMs: config.CHANGE_LOG_PRUNE_MS,
    log,
  });
  pruner.start();
  releasers.add('pruner', () => pruner.stop());
  releasers.add('feed', () => feed.stop());
  return feed;
}
