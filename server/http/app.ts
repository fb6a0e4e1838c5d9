import type { IncomingMessage } from 'node:http';
import fastifyCors, { type FastifyCorsOptions } from '@fastify/cors';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { GraphQLSchema } from 'graphql';
import type { Access } from '../auth/access.ts';
import type { LiveSubscriptions } from '../auth/live.ts';
import { allTables } from '../declare/declaration.ts';
import { ClientError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import type { Stopping } from '../lib/stopping.ts';
import type { ReplicationStatus } from '../replication/status.ts';
import type { Documents } from '../graphql/documents.ts';
import type { Executor } from '../graphql/execution.ts';
import type { FanOut } from '../feed/fan-out/fan-out.ts';
import { addBodies, checkEncoding, readablePath } from './edge/bodies.ts';
import { Connections } from './edge/connections.ts';
import { Hosts } from './edge/hosts.ts';
import { httpOptions, type EdgeOptions } from './edge/http-server.ts';
import { Origins } from './edge/origins.ts';
import { Proxies } from './edge/proxies.ts';
import { addGraphQL } from './graphql.ts';
import { addHealth, addProbes } from './health.ts';
import type { Hide } from '../graphql/hidden-names.ts';
import type { Limits } from '../graphql/limits/limits.ts';
import type { TrustedDocuments } from '../graphql/limits/trusted.ts';
import { addMetrics, type Scrape } from './metrics.ts';
import type { Operations } from '../graphql/operation.ts';
import { addPages } from './pages.ts';
import type { Pipeline } from '../graphql/pipeline.ts';
import { addRest, restErrorBody } from './rest.ts';
import { DATA_HEADERS, strictTransport } from './security-headers.ts';
import { attachWebsockets, isWebsocket } from './websocket/websocket.ts';

const GRAPHQL_PATH = '/graphql';

/** For whoever starts and stops servers, and knows them by their addresses. */
const PROBES = new Set(['/health/live', '/health/ready']);

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
  edge: EdgeOptions;
  /** Names that the server answers under beside those of the loopback; undefined: any. */
  allowedHosts: readonly string[] | undefined;
  /** Origins that browsers may call from beside the server's own; '*' for any. */
  corsOrigins: '*' | readonly string[];
  /** Proxies whose word on where a request came from is taken: addresses and networks. */
  trustProxy: string[];
  /** Whether browsers are told that subdomains take TLS alone, too. */
  hstsSubdomains: boolean;
}

/** The HTTP server with everything on it, not yet listening. Closing it closes the websockets, too. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const proxies = new Proxies(options.trustProxy);
  const hosts = new Hosts(options.allowedHosts, proxies);
  const origins = new Origins(options.corsOrigins, hosts);
  const app: FastifyInstance = fastify({
    ...httpOptions(
      options.edge,
      (request) => isWebsocket(request, GRAPHQL_PATH),
      () => connections,
    ),
    rewriteUrl: ({ url = '/' }) => readablePath(url),
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
  const connections = new Connections(app.server, { ...options.edge, isProxy: (address) => proxies.has(address) });
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers(DATA_HEADERS).header('x-request-id', request.id);
    if (request.protocol === 'https') void reply.headers(strictTransport(options.hstsSubdomains));
    done();
  });
  app.addHook('onRequest', (request, _reply, done) => {
    if (!PROBES.has(request.routeOptions.url ?? '')) checkCaller(request.raw, hosts, origins);
    done();
  });
  // Before the first route, which takes along the handler that it finds.
  addErrors(app, options.log);
  await addCors(app, origins);
  app.addHook('onRequest', (request, reply, done) => {
    const refusal = connections.refusalOf(request.raw.socket);
    if (!refusal) return done(checkEncoding(request));
    void reply.headers({ connection: 'close', 'retry-after': '1' });
    return done(new ClientError('RATE_LIMITED', refusal));
  });
  const { budget } = options.limits;
  addBodies(app, ({ headers, ip }, bytes) =>
    budget.isLarge(bytes)
      ? options.operations
          .spenderOf(headers.authorization, ip)
          .then((spender) => ({ refused: budget.body(spender, bytes) }))
      : undefined,
  );
  const { together } = options.observer;
  if (together) app.addHook('preHandler', (_request, _reply, done) => together(done));
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (options.stopping.hasBegun) void reply.header('connection', 'close');
    done();
  });
  addGraphQL(app, options.pipeline, options.operations, options.documents, options.trusted, GRAPHQL_PATH);
  addRest(app, allTables(), options.pipeline, options.operations);
  addHealth(app, options.status, options.access);
  addProbes(app, options.status, () => options.stopping.hasBegun);
  if (options.scrape) addMetrics(app, options.scrape);
  addPages(app, options.pages);
  const closeWebsockets = attachWebsockets(app.server, {
    ...options,
    addressOf: (request) => proxies.addressOf(request),
    check: (request) => checkCaller(request, hosts, origins),
    connections,
    maxPayloadBytes: options.bodyLimitBytes,
  });
  // The HTTP server waits for the sockets to end, and they for nothing else: both close at the same time.
  let closed: Promise<void> | undefined;
  app.addHook('preClose', async () => void (closed = closeWebsockets()));
  app.addHook('onClose', async () => closed);
  return app;
}

/** The same for HTTP and websockets. @throws ClientError FORBIDDEN */
function checkCaller(request: IncomingMessage, hosts: Hosts, origins: Origins): void {
  hosts.check(request);
  origins.check(request);
}

/** What other origins' pages may send, and read of the answers. */
async function addCors(app: FastifyInstance, origins: Origins): Promise<void> {
  const cors: FastifyCorsOptions = {
    exposedHeaders: 'readback-bookmark, x-request-id, link, location',
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
  };
  const delegator = (
    { headers: { origin }, raw }: FastifyRequest,
    done: (error: null, of: FastifyCorsOptions) => void,
  ): void => done(null, { ...cors, origin: origin !== undefined && origins.allows(origin, raw) && origin });
  await app.register(fastifyCors, origins.isAny ? { ...cors, origin: '*' } : { delegator });
}

/** Errors outside GraphQL answers, in the shape of REST's answers. */
function addErrors(app: FastifyInstance, log: Logger): void {
  app.setNotFoundHandler(async (request, reply) => {
    void reply.code(404);
    return {
      success: false,
      message: `There is nothing at ${request.method} ${request.originalUrl.split('?')[0]}.`,
      error: 'NOT_FOUND',
    };
  });
  app.setErrorHandler(async (error: { statusCode?: number; message: string; code?: string }, request, reply) => {
    const body = restErrorBody(error, request, reply);
    if (body) return body;
    const status = error.statusCode ?? 500;
    void reply.code(status);
    const isOtherType = error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE';
    const message = isOtherType ? 'Send the body as content-type: application/json.' : error.message;
    if (status < 500) return { success: false, message, error: 'BAD_REQUEST' };
    log.error({ err: error, requestId: request.id }, 'request failed');
    return {
      success: false,
      message: 'Something went wrong on the server: the log has it, under the request id of this answer.',
      error: 'INTERNAL_SERVER_ERROR',
    };
  });
}
