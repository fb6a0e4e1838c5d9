import type { IncomingMessage } from 'node:http';
import fastifyCors from '@fastify/cors';
import proxyaddr from '@fastify/proxy-addr';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import type { GraphQLSchema } from 'graphql';
import type { Access } from '../access/access.ts';
import type { LiveSubscriptions } from '../access/live.ts';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import type { Stopping } from '../lib/stopping.ts';
import type { ReplicationStatus } from '../replication/status.ts';
import type { Documents } from './documents.ts';
import type { Executor } from './execution.ts';
import type { FanOut } from './websocket/fan-out/fan-out.ts';
import { addGraphQL } from './graphql.ts';
import type { Hide } from './hidden-names.ts';
import { addHealth } from './health.ts';
import type { Limits } from './limits/limits.ts';
import type { TrustedDocuments } from './limits/trusted.ts';
import { addMetrics, type Scrape } from './metrics.ts';
import type { Operations } from './operation.ts';
import { addPages } from './pages.ts';
import type { Pipeline } from './pipeline.ts';
import { addRest, restErrorBody } from './rest.ts';
import { DATA_HEADERS } from './security-headers.ts';
import { attachWebsockets } from './websocket/websocket.ts';

const GRAPHQL_PATH = '/graphql';

export interface AppOptions {
  schema: GraphQLSchema;
  pipeline: Pipeline;
  executor: Executor;
  operations: Operations;
  documents: Documents;
  /** Undefined: clients may ask for the schema. */
  hide: Hide | undefined;
  limits: Limits;
  trusted: TrustedDocuments | undefined;
  fanOut: FanOut;
  access: Access;
  live: LiveSubscriptions;
  status: ReplicationStatus;
  stopping: Stopping;
  /** The folder of the pages that the build made. */
  pages: string;
  observer: Observer;
  /** Undefined: the metrics are not for whoever reaches this port. */
  scrape: Scrape | undefined;
  log: Logger;
  bodyLimitBytes: number;
  /** Origins that browsers may call from; '*' for any. */
  corsOrigins: '*' | string[];
  /** Proxies whose word on where a request came from is taken: addresses and networks. */
  trustProxy: string[];
}

/** The HTTP server with everything on it, not yet listening. Closing it closes the websockets, too. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    loggerInstance: options.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimitBytes,
    trustProxy: options.trustProxy.length > 0 && options.trustProxy,
    requestIdHeader: false,
    genReqId: () => crypto.randomUUID(),
    // Lines say themselves which request they are of.
    childLoggerFactory: (logger) => logger,
    forceCloseConnections: 'idle',
    // What comes on a connection that is still open is answered as ever.
    return503OnClosing: false,
  });
  await app.register(fastifyCors, {
    origin: options.corsOrigins,
    exposedHeaders: 'readback-bookmark, x-request-id, link, location',
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
  });
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers(DATA_HEADERS).header('x-request-id', request.id);
    done();
  });
  const { together } = options.observer;
  if (together) app.addHook('preHandler', (_request, _reply, done) => together(done));
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (options.stopping.hasBegun) void reply.header('connection', 'close');
    done();
  });
  addErrors(app, options.log);
  addGraphQL(app, options.pipeline, options.operations, options.documents, options.trusted, GRAPHQL_PATH);
  addRest(app, options.pipeline, options.operations);
  addHealth(app, options.status, () => options.stopping.hasBegun);
  if (options.scrape) addMetrics(app, options.scrape);
  addPages(app, options.pages);
  const closeWebsockets = attachWebsockets(app.server, {
    ...options,
    path: GRAPHQL_PATH,
    addressOf: addressReader(options.trustProxy),
    maxPayloadBytes: options.bodyLimitBytes,
  });
  // The HTTP server waits for the sockets to end, and they for nothing else: both close at the same time.
  let closed: Promise<void> | undefined;
  app.addHook('preClose', async () => void (closed = closeWebsockets()));
  app.addHook('onClose', async () => closed);
  return app;
}

/** The same for websockets, which do not pass through fastify. */
function addressReader(trusted: string[]): (request: IncomingMessage) => string {
  const trust = proxyaddr.compile(trusted);
  return (request) => proxyaddr(request, trust);
}

/** Errors outside GraphQL answers, in the seed's shape. */
function addErrors(app: FastifyInstance, log: Logger): void {
  app.setNotFoundHandler(async (request, reply) => {
    void reply.code(404);
    return {
      success: false,
      message: `There is nothing at ${request.method} ${request.url.split('?')[0]}.`,
      error: 'NOT_FOUND',
    };
  });
  app.setErrorHandler(async (error: { statusCode?: number; message: string; code?: string }, request, reply) => {
    const body = restErrorBody(error, request, reply);
    if (body) return body;
    const status = error.statusCode ?? 500;
    void reply.code(status);
    if (status < 500) return { success: false, message: error.message, error: 'BAD_REQUEST' };
    log.error({ err: error, requestId: request.id }, 'request failed');
    return {
      success: false,
      message: 'Something went wrong on the server: the log has it, under the request id of this answer.',
      error: 'INTERNAL_SERVER_ERROR',
    };
  });
}
