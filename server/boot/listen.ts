import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { isLoopback, type Config } from './config.ts';
import { createApp } from '../http/app.ts';
import type { EdgeOptions } from '../http/edge/http-server.ts';
import { Documents, type DocumentOptions } from '../graphql/documents.ts';
import { Limits, type LimitOptions } from '../graphql/limits.ts';
import { hidingNames, Masking } from '../graphql/masking.ts';
import { createMetricsApp, type Scrape } from '../http/metrics.ts';
import { Operations } from '../graphql/operation.ts';
import { Pipeline } from '../graphql/pipeline.ts';
import { readTrustedDocuments, type TrustedDocuments } from '../graphql/trusted.ts';
import type { FanOut } from '../feed/fan-out/fan-out.ts';
import { Budget } from '../lib/budget.ts';
import { SetupError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import type { Releasers } from '../lib/releasers.ts';
import { openFilesMost } from '../lib/open-files.ts';
import { projectRoot } from '../lib/root.ts';
import { Stopping } from '../lib/stopping.ts';
import type { TableSizes } from '../replication/sizes.ts';
import type { ReplicationStatus } from '../replication/status.ts';
import type { Services } from '../graphql/schema/context.ts';
import { buildGraphQLSchema } from '../graphql/schema/schema.ts';

interface HttpParts {
  config: Config;
  services: Services;
  sizes: TableSizes;
  fanOut: FanOut;
  observer: Observer;
  scrape: Scrape | undefined;
  log: Logger;
}

/** The part of the server that clients reach. `port` may have been left to the system. */
export async function listenHttp(
  { config, services, sizes, fanOut, observer, scrape, log }: HttpParts,
  releasers: Releasers,
): Promise<{ host: string; port: number }> {
  const trusted = config.TRUSTED_DOCUMENTS === undefined ? undefined : readTrustedDocuments(config.TRUSTED_DOCUMENTS);
  const { pipeline, limits } = createPipeline(config, sizes, trusted, log);
  const stopping = new Stopping(config.SHUTDOWN_GRACE_MS, config.SHUTDOWN_DRAIN_MS);
  const app = await createApp({
    pipeline,
    operations: new Operations(services, limits, observer),
    introspection: config.INTROSPECTION === 'on',
    trusted,
    fanOut,
    access: services.access,
    live: services.live,
    status: services.status,
    stopping,
    pages: join(projectRoot, 'dist', 'pages'),
    edge: edgeOf(config),
    allowedHosts: config.ALLOWED_HOSTS ?? (config.ACCESS === 'open' ? [] : undefined),
    corsOrigins: originsOf(config.CORS_ORIGINS),
    trustProxy: config.TRUST_PROXY ?? [],
    hstsSubdomains: config.HSTS_INCLUDE_SUBDOMAINS === 'on',
    observer,
    scrape: config.METRICS_PORT === undefined ? scrape : undefined,
    log,
    bodyLimitBytes: config.BODY_LIMIT_BYTES,
  });
  releasers.add('http', () => closeHttp(app, stopping));
  const port = await bind(app, { host: config.HOST, port: config.PORT }, ['HOST', 'PORT']);
  releasers.add('drain', () => stopping.begin());
  return { host: config.HOST, port };
}

/** The one way that operations go, and the limits that they and connections share. */
function createPipeline(config: Config, sizes: TableSizes, trusted: TrustedDocuments | undefined, log: Logger) {
  const schema = buildGraphQLSchema();
  const limits = new Limits(schema, limitsOf(config), budgetOf(config), sizes);
  const pipeline = new Pipeline({
    schema,
    documents: new Documents(schema, documentsOf(config)),
    limits,
    masking: new Masking(log, config.INTROSPECTION === 'on' ? undefined : hidingNames(schema)),
    trusted,
  });
  return { pipeline, limits };
}

/** Undefined: they are on the main port, or nowhere. */
export async function listenMetrics(
  config: Config,
  scrape: Scrape,
  status: ReplicationStatus,
  releasers: Releasers,
): Promise<number | undefined> {
  if (config.METRICS_PORT === undefined) return undefined;
  // Elsewhere it is scraped by addresses; a page reaches it in a browser on this machine.
  const allowedHosts = isLoopback(config.METRICS_HOST) ? (config.ALLOWED_HOSTS ?? []) : undefined;
  const app = createMetricsApp({ scrape, status, edge: edgeOf(config), allowedHosts });
  releasers.add('metrics', () => app.close());
  return bind(app, { host: config.METRICS_HOST, port: config.METRICS_PORT }, ['METRICS_HOST', 'METRICS_PORT']);
}

/** Takes nothing new, and lets what runs end, as long as there is time. */
async function closeHttp(app: Awaited<ReturnType<typeof createApp>>, { finishMs }: Stopping): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), finishMs);
  await app.close();
  clearTimeout(cut);
}

const documentsOf = (config: Config): DocumentOptions => ({
  introspection: config.INTROSPECTION === 'on',
  tokens: { known: config.QUERY_TOKENS_MAX, anonymous: config.QUERY_TOKENS_ANONYMOUS_MAX },
  characters: { known: config.QUERY_CHARACTERS_MAX, anonymous: config.QUERY_CHARACTERS_ANONYMOUS_MAX },
  selections: { known: config.QUERY_SELECTIONS_MAX, anonymous: config.QUERY_SELECTIONS_ANONYMOUS_MAX },
});

const budgetOf = (config: Config) =>
  new Budget({
    requestsPerSecond: config.REQUESTS_PER_SECOND_MAX || Infinity,
    costPerSecond: config.COST_PER_SECOND_MAX || Infinity,
  });

const limitsOf = (config: Config): LimitOptions => ({
  depth: config.QUERY_DEPTH_MAX,
  aliases: config.QUERY_ALIASES_MAX,
  cost: config.QUERY_COST_MAX,
  answer: config.ANSWER_CHARACTERS_MAX,
  socketOperations: config.WS_OPERATIONS_MAX,
  subscriptionBytes: config.SUBSCRIPTION_BYTES_MAX,
  socketsPerAddress: config.SOCKETS_PER_ADDRESS_MAX || Infinity,
  // The fan-out fills a socket up to the half of it, and a client that reads as it can is heard meanwhile.
  socketUnsentBytes: 2 * config.WS_BUFFER_BYTES,
  operationTimeoutMs: config.OPERATION_TIMEOUT_MS,
});

const edgeOf = (config: Config): EdgeOptions => ({
  headersTimeoutMs: config.HEADERS_TIMEOUT_MS,
  requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
  responseTimeoutMs: config.RESPONSE_TIMEOUT_MS,
  keepAliveTimeoutMs: config.KEEP_ALIVE_TIMEOUT_MS,
  most: config.CONNECTIONS_MAX ?? Math.floor(openFilesMost() * CONNECTIONS_SHARE),
  perNetwork: config.CONNECTIONS_PER_ADDRESS_MAX || Infinity,
});

/** The rest is for the databases, whose pools have bounds of their own, and for files. */
const CONNECTIONS_SHARE = 0.75;

function originsOf(text: string): '*' | string[] {
  if (text === '*') return '*';
  return text === 'own' ? [] : text.split(',').map((origin) => origin.trim());
}

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
