import { project } from '../../schema/project.ts';
import { pino, type DestinationStream } from 'pino';
import { checkUrls } from './check-urls.ts';
import type { Config, DatabaseConfig } from './config.ts';
import { startFeed } from './feed.ts';
import { listenHttp, listenMetrics } from './listen.ts';
import { startPeople } from './people.ts';
import { Pools } from './pools.ts';
import { openServers, type Parts, type Servers } from './servers.ts';
import { LiveSubscriptions } from '../auth/live.ts';
import { allTables, declarationOf } from '../declare/declaration.ts';
import { FanOut } from '../feed/fan-out/fan-out.ts';
import type { Feed } from '../feed/feed.ts';
import { describeFeed } from '../feed/state.ts';
import type { Logger } from '../lib/logger.ts';
import { Releasers } from '../lib/releasers.ts';
import { withinMs } from '../lib/within.ts';
import { describeError, operationLog } from '../observe/log.ts';
import { Observation } from '../observe/observer.ts';
import { Arrivals } from '../reads/arrivals.ts';
import { Router } from '../reads/router.ts';
import { TableSizes } from '../replication/sizes.ts';
import { ReplicationStatus } from '../replication/status.ts';
import { TableWatch } from '../replication/tables.ts';
import { driftsOf, tablesNow } from '../setup/drift.ts';
import { partitionChanges } from '../setup/partitions.ts';

export interface Server {
  host: string;
  port: number;
  /** Of the listener for metrics alone, where there is one. */
  metricsPort: number | undefined;
  fanOut: FanOut;
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
  const parts = { config, databases, pools, releasers, log };
  const servers = openServers(parts);
  await Promise.all([checkUrls(config, databases, pools.complain), servers.monitor.start()]);

  const feed = await startFeed(parts, servers);
  const fanOut = openFanOut(config, feed);
  const tables = watchTables(parts, servers, fanOut);
  const router = openRouter(parts, servers, tables);
  const people = await startPeople(parts, servers.primary, feed, router);
  const services = { ...openServices(parts, servers, feed, router, tables), ...people };
  const sizes = watchSizes(parts, servers);
  // Mostly a matter of milliseconds: who is sent here then is not turned away at once.
  await withinMs(feed.begun(), FEED_START_MS).catch(() => undefined); // /health/ready tells until it has

  const scrape = meter?.scrape({
    ...services,
    fanOut,
    pools: () => observation.pools,
    slotsTimeoutMs: config.REPLICA_LOOK_TIMEOUT_MS,
    complain: pools.complain,
  });
  const http = { config, services, sizes, fanOut, observer: observation, scrape, log };
  return {
    metricsPort: scrape && (await listenMetrics(config, scrape, services.status, releasers)),
    ...(await listenHttp(http, releasers)),
    fanOut,
  };
}

const FEED_START_MS = 1000;

const openFanOut = (config: Config, feed: Feed) =>
  new FanOut({
    feed,
    bufferBytes: config.WS_BUFFER_BYTES,
    slowClientTimeoutMs: config.WS_SLOW_CLIENT_TIMEOUT_MS,
  });

const openRouter = ({ config, pools }: Parts, { primary, replicas }: Servers, tables: TableWatch) =>
  new Router(primary, replicas, {
    bookmarkWaitMs: config.BOOKMARK_WAIT_MS,
    stallMs: config.BOOKMARK_STALL_MS,
    primaryReadsMax: config.PRIMARY_READS_MAX,
    holdsOthers: (table) => tables.holdsOthers(table),
    complain: pools.complain,
  });

/** What resolvers reach, people apart. */
function openServices({ config }: Parts, servers: Servers, feed: Feed, router: Router, tables: TableWatch) {
  const { primary, replicas, monitor } = servers;
  return {
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
    router,
    arrivals: new Arrivals(router, replicas, monitor, config.BOOKMARK_WAIT_MS),
    feed,
    tables,
    status: new ReplicationStatus({
      ...servers,
      feed: () => describeFeed(feed.state),
      tables: () => tables.drifts,
    }),
  };
}

/** What the application changes about its tables. */
function watchTables(parts: Parts, { primary, replicas, monitor }: Servers, fanOut: FanOut): TableWatch {
  const { pools, releasers, log } = parts;
  const declared = project.tables.map(declarationOf);
  const tables = new TableWatch({
    drifts: async () => driftsOf(await tablesNow(primary.reader, declared), declared),
    partitionChanges: () => partitionChanges(primary.writer),
    replicas,
    hasOthers: (table, refusal) => fanOut.refuse(table, refusal),
    log,
    complain: pools.complain,
  });
  releasers.add(
    'tables',
    monitor.watch(() => tables.round()),
  );
  return tables;
}

/** How large tables are, for what a count of one costs. */
function watchSizes({ pools, releasers }: Parts, { primary, monitor }: Servers): TableSizes {
  const sizes = new TableSizes(
    primary.watch,
    allTables().map(({ name }) => name),
    pools.complain,
  );
  sizes.round();
  releasers.add(
    'table sizes',
    monitor.watch(() => sizes.round()),
  );
  return sizes;
}

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
