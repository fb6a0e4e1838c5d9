import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import type { Config, DatabaseConfig } from './config.ts';
import { openPrimary, openReplica, Pools } from './pools.ts';
import { Hub } from './feed/hub.ts';
import { FeedReader } from './feed/reader.ts';
import { createApp } from './http/app.ts';
import { Operations } from './http/operation.ts';
import { createPipeline } from './http/pipeline.ts';
import { SetupError } from './lib/errors.ts';
import type { Logger } from './lib/logger.ts';
import { Hasher } from './lib/password.ts';
import { Releasers } from './lib/releasers.ts';
import { Confirmer } from './replication/confirm.ts';
import { Monitor } from './replication/monitor.ts';
import { Router } from './replication/router.ts';
import { ReplicationStatus } from './replication/status.ts';
import type { Services } from './resolvers/context.ts';
import { buildGraphQLSchema } from './resolvers/schema.ts';

export interface Server {
  host: string;
  port: number;
  /** Live subscriptions to changes. */
  subscribers: () => number;
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

export function createLog({ LOG_LEVEL }: Pick<Config, 'LOG_LEVEL'>): Logger {
  return pino({ level: LOG_LEVEL, redact: ['req.headers.cookie', 'req.headers.authorization'] }, pino.destination(2));
}

async function build(
  config: Config,
  databases: DatabaseConfig,
  log: Logger,
  releasers: Releasers,
): Promise<Omit<Server, 'stop'>> {
  const pools = new Pools(config, releasers);
  const primary = openPrimary(config, pools, databases.primary.url);
  const replicas = databases.replicas.map(({ url }, index) =>
    openReplica(config, pools, `replica-${index + 1}`, url, primary),
  );
  const monitor = new Monitor(primary, replicas, config.MONITOR_INTERVAL_MS);
  releasers.add('monitor', () => monitor.stop());
  await monitor.start();

  const hub = new Hub(config.SUBSCRIBER_QUEUE);
  releasers.add('subscriptions', () => hub.close());
  const reader = new FeedReader(replicas[0]!.reader, (change) => hub.publish(change));
  for (const [index, replica] of replicas.entries()) {
    const rang = () => {
      replica.rang();
      if (index === 0)
        void reader
          .catchUp()
          .catch((error: unknown) =>
            log.warn({ err: error }, 'the change log could not be read: trying again at the next doorbell'),
          );
    };
    const listener = pools.listener(replica.name, databases.replicas[index]!.url, rang);
    releasers.add(`listener of ${replica.name}`, () => listener.stop());
    await listener.start();
  }
  await reader.catchUp().catch(() => undefined);

  const router = new Router(primary, replicas, {
    bookmarkWaitMs: config.BOOKMARK_WAIT_MS,
    stallMs: config.BOOKMARK_STALL_MS,
    primaryReadsMax: config.PRIMARY_READS_MAX,
  });
  const services = {
    primary,
    confirmer: new Confirmer(router, replicas, config.BOOKMARK_WAIT_MS),
    hub,
    hasher: new Hasher(config.HASH_CONCURRENCY, config.HASH_QUEUE),
    status: new ReplicationStatus(primary, replicas, monitor),
  };
  const { host, port } = await listenHttp(config, services, new Operations(services, router), log, releasers);
  return { host, port, subscribers: () => hub.subscribers };
}

async function listenHttp(
  config: Config,
  services: Services,
  operations: Operations,
  log: Logger,
  releasers: Releasers,
) {
  const schema = buildGraphQLSchema();
  const pipeline = createPipeline(schema, log);
  await pipeline.start();
  releasers.add('pipeline', () => pipeline.stop());
  const corsOrigins =
    config.CORS_ORIGINS === '*' ? ('*' as const) : config.CORS_ORIGINS.split(',').map((origin) => origin.trim());
  const app = await createApp({
    schema,
    pipeline,
    operations,
    status: services.status,
    log,
    bodyLimitBytes: config.BODY_LIMIT_BYTES,
    corsOrigins,
  });
  releasers.add('http', () => app.close());
  await bind(app, config);
  const { port } = app.server.address() as AddressInfo;
  return { host: config.HOST, port };
}

async function bind(app: Awaited<ReturnType<typeof createApp>>, { HOST, PORT }: Config): Promise<void> {
  try {
    await app.listen({ host: HOST, port: PORT });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new SetupError(`Port ${PORT} is taken: stop what listens there, or set PORT to a free one.`);
    throw new SetupError(
      `Cannot listen on ${HOST}:${PORT}: ${message}. Set HOST and PORT to an address of this machine.`,
    );
  }
}
