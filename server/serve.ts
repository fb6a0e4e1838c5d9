import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pino, type DestinationStream } from 'pino';
import { checkUrls } from './check-urls.ts';
import type { Config, DatabaseConfig } from './config.ts';
import { openFeedSource, openPrimary, openReplica, openSlotWatch, Pools } from './pools.ts';
import { Access } from './access/access.ts';
import { SigningKeys } from './access/keys.ts';
import { LiveSubscriptions } from './access/live.ts';
import { Sessions } from './access/sessions.ts';
import { Throttle } from './access/throttle.ts';
import { Tokens } from './access/tokens.ts';
import { Feed } from './feed/feed.ts';
import { Pruner } from './feed/pruner.ts';
import { describeFeed } from './feed/state.ts';
import { createApp } from './http/app.ts';
import { createMetricsApp, type Scrape } from './http/metrics.ts';
import { Documents } from './http/documents.ts';
import { Executor } from './http/execution.ts';
import { FanOut } from './http/websocket/fan-out/fan-out.ts';
import { Limits, type LimitOptions } from './http/limits/limits.ts';
import { readTrustedDocuments } from './http/limits/trusted.ts';
import { Operations } from './http/operation.ts';
import { Pipeline } from './http/pipeline.ts';
import { SetupError } from './lib/errors.ts';
import type { Logger } from './lib/logger.ts';
import type { Observer } from './lib/observer.ts';
import { Hasher } from './lib/password.ts';
import { Releasers } from './lib/releasers.ts';
import { projectRoot } from './lib/root.ts';
import { Stopping } from './lib/stopping.ts';
import { withinMs } from './lib/within.ts';
import { Arrivals } from './replication/arrivals.ts';
import { Confirmer } from './replication/confirm.ts';
import { Monitor } from './replication/monitor.ts';
import type { Primary } from './replication/primary.ts';
import type { Replica } from './replication/replica.ts';
import { Router } from './replication/router.ts';
import type { SlotWatch } from './replication/slots.ts';
import { ReplicationStatus } from './replication/status.ts';
import { describeError, operationLog } from './observe/log.ts';
import { Observation } from './observe/observer.ts';
import type { Services } from './resolvers/context.ts';
import { buildGraphQLSchema } from './resolvers/schema.ts';

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
    openReplica(config, pools, `replica-${index + 1}`, urls, primary, isSlotLost),
  );
  const slots: SlotWatch = openSlotWatch(config, pools, databases.primary.url, primary, replicas, log);
  const monitor = new Monitor(primary, replicas, config.MONITOR_INTERVAL_MS);
  releasers.add('slots', () => slots.stop());
  releasers.add('monitor', () => monitor.stop());
  monitor.watch(() => slots.round());
  await Promise.all([checkUrls(config, databases), monitor.start()]);

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
  // Behind LISTEN, so that nothing falls between; and at each round of the monitor, which may have seen a replica change.
  feed.start();
  releasers.add(
    'feed watch',
    monitor.watch(() => feed.rang()),
  );

  const router = new Router(primary, replicas, {
    bookmarkWaitMs: config.BOOKMARK_WAIT_MS,
    stallMs: config.BOOKMARK_STALL_MS,
    primaryReadsMax: config.PRIMARY_READS_MAX,
  });
  const sessions = new Sessions({ feed, router, primary });
  sessions.start();
  releasers.add('sessions', () => sessions.stop());
  const hasher = new Hasher(config.HASH_CONCURRENCY, config.HASH_QUEUE);
  const services = {
    access: createAccess(config, primary, hasher, sessions),
    live: new LiveSubscriptions({
      perUser: config.SUBSCRIPTIONS_PER_USER_MAX || Infinity,
      perAddress: config.SUBSCRIPTIONS_PER_ADDRESS_MAX || Infinity,
    }),
    primary,
    confirmer: new Confirmer(router, replicas, config.BOOKMARK_WAIT_MS),
    arrivals: new Arrivals(router, replicas, monitor, config.BOOKMARK_WAIT_MS),
    feed,
    hasher,
    status: new ReplicationStatus(primary, replicas, monitor, slots, () => describeFeed(feed.state)),
  };
  const fanOut = new FanOut({
    feed,
    bufferBytes: config.WS_BUFFER_BYTES,
    slowClientTimeoutMs: config.WS_SLOW_CLIENT_TIMEOUT_MS,
  });
  // Mostly a matter of milliseconds: who is sent here then is not turned away at once.
  await withinMs(feed.begun(), FEED_START_MS).catch(() => undefined);
  const scrape = meter?.scrape({
    ...services,
    fanOut,
    pools: () => observation.pools,
    slotsTimeoutMs: config.REPLICA_LOOK_TIMEOUT_MS,
  });
  const metricsPort = scrape && (await listenMetrics(config, scrape, releasers));
  const onPort = config.METRICS_PORT === undefined ? scrape : undefined;
  const { host, port } = await listenHttp(
    { config, services, router, fanOut, observer: observation, scrape: onPort, log },
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

function createAccess(config: Config, { writer }: Primary, hasher: Hasher, sessions: Sessions): Access {
  const tokenTtlMs = config.ACCESS_TOKEN_TTL_MS;
  const keys = new SigningKeys({ writer, rotationMs: config.ACCESS_KEY_ROTATION_HOURS * HOUR_MS, tokenTtlMs });
  return new Access({
    isOpen: config.ACCESS === 'open',
    writer,
    hasher,
    sessions,
    tokens: new Tokens(keys, tokenTtlMs, config.ACCESS_SESSION_HOURS * HOUR_MS),
    throttle: new Throttle({
      failuresPerAccount: config.SIGN_IN_FAILURES_MAX,
      failuresPerAddress: config.SIGN_IN_FAILURES_PER_ADDRESS_MAX,
      windowMs: config.SIGN_IN_WINDOW_MS,
    }),
  });
}

const HOUR_MS = 3_600_000;

interface HttpParts {
  config: Config;
  services: Services;
  router: Router;
  fanOut: FanOut;
  observer: Observer;
  scrape: Scrape | undefined;
  log: Logger;
}

async function listenHttp(
  { config, services, router, fanOut, observer, scrape, log }: HttpParts,
  releasers: Releasers,
): Promise<{ host: string; port: number }> {
  const schema = buildGraphQLSchema();
  const limits = new Limits(schema, limitsOf(config));
  const trusted = config.TRUSTED_DOCUMENTS === undefined ? undefined : readTrustedDocuments(config.TRUSTED_DOCUMENTS);
  const executor = new Executor(schema);
  const pipeline = new Pipeline({
    schema,
    executor,
    limits,
    introspection: config.INTROSPECTION === 'on',
    trusted,
    observer,
    log,
  });
  // It holds nothing that is to be released, and what nobody waits for any more may still run through it.
  await pipeline.apollo.start();
  const stopping = new Stopping(config.SHUTDOWN_GRACE_MS, config.SHUTDOWN_DRAIN_MS);
  const corsOrigins =
    config.CORS_ORIGINS === '*' ? ('*' as const) : config.CORS_ORIGINS.split(',').map((origin) => origin.trim());
  const app = await createApp({
    schema,
    pipeline,
    executor,
    operations: new Operations(services, router, limits, observer),
    documents: new Documents(schema, config.QUERY_TOKENS_MAX),
    limits,
    trusted,
    fanOut,
    access: services.access,
    live: services.live,
    status: services.status,
    stopping,
    pages: join(projectRoot, 'dist', 'pages'),
    trustProxy: config.TRUST_PROXY ?? [],
    observer,
    scrape,
    log,
    bodyLimitBytes: config.BODY_LIMIT_BYTES,
    corsOrigins,
  });
  releasers.add('http', () => closeHttp(app, stopping));
  const port = await bind(app, { host: config.HOST, port: config.PORT }, ['HOST', 'PORT']);
  releasers.add('drain', () => stopping.begin());
  return { host: config.HOST, port };
}

/** What is on METRICS_PORT is for whoever reaches it: on the main port everybody is, so it is there in open mode alone. */
const hasMetrics = ({ ACCESS, METRICS_PORT }: Config) => ACCESS === 'open' || METRICS_PORT !== undefined;

/** Metrics and traces are loaded where they are asked for: they cost memory and time at start. */
async function observe(config: Config, log: Logger, releasers: Releasers) {
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  const meter = hasMetrics(config) ? new (await import('./observe/metrics.ts')).EventMeter() : undefined;
  const tracing = endpoint === undefined ? undefined : new (await import('./observe/tracing.ts')).Tracing(endpoint);
  if (tracing) releasers.add('traces', () => tracing.stop());
  const observation = new Observation({ meter, log: operationLog(log, config.LOG_LEVEL), tracing });
  return { observation, meter };
}

async function listenMetrics(config: Config, scrape: Scrape, releasers: Releasers): Promise<number | undefined> {
  if (config.METRICS_PORT === undefined) return undefined;
  const app = createMetricsApp(scrape);
  releasers.add('metrics', () => app.close());
  return bind(app, { host: config.METRICS_HOST, port: config.METRICS_PORT }, ['METRICS_HOST', 'METRICS_PORT']);
}

/** Takes nothing new, and lets what runs end, as long as there is time. */
async function closeHttp(app: Awaited<ReturnType<typeof createApp>>, { finishMs }: Stopping): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), finishMs);
  await app.close();
  clearTimeout(cut);
}

const limitsOf = (config: Config): LimitOptions => ({
  tokens: config.QUERY_TOKENS_MAX,
  depth: config.QUERY_DEPTH_MAX,
  aliases: config.QUERY_ALIASES_MAX,
  cost: config.QUERY_COST_MAX,
  requestsPerSecond: config.REQUESTS_PER_SECOND_MAX,
  socketOperations: config.WS_OPERATIONS_MAX,
  socketsPerAddress: config.SOCKETS_PER_ADDRESS_MAX || Infinity,
  operationTimeoutMs: config.OPERATION_TIMEOUT_MS,
});

/** `names` are the variables that say where. Returns the port, which may have been left to the system. */
async function bind(
  app: Awaited<ReturnType<typeof createApp>>,
  { host, port }: { host: string; port: number },
  names: [host: string, port: string],
): Promise<number> {
  try {
    await app.listen({ host, port });
    return (app.server.address() as AddressInfo).port;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new SetupError(`Port ${port} is taken: stop what listens there, or set ${names[1]} to a free one.`);
    throw new SetupError(
      `Cannot listen on ${host}:${port}: ${message}. Set ${names.join(' and ')} to an address of this machine.`,
    );
  }
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
    openFeedSource(pools, urls[index]!.url, { name: replica.name, view: () => replica.view }, closed),
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
