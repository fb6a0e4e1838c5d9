import type { IncomingMessage } from 'node:http';
import fastifyCors, { type FastifyCorsOptions } from '@fastify/cors';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Access } from '../auth/access.ts';
import type { LiveSubscriptions } from '../auth/live.ts';
import { allTables } from '../declare/declaration.ts';
import { ClientError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import type { Stopping } from '../lib/stopping.ts';
import type { ReplicationStatus } from '../replication/status.ts';
import type { FanOut } from '../feed/fan-out/fan-out.ts';
import { checkCaller, Hosts, Origins, Proxies } from './edge/callers.ts';
import { Connections } from './edge/connections.ts';
import { addBodies, checkEncoding, httpOptions, readablePath, type EdgeOptions } from './edge/http-server.ts';
import { addGraphQL } from './graphql.ts';
import { addHealth, addProbes } from './health.ts';
import type { TrustedDocuments } from '../graphql/trusted.ts';
import { addMetrics, type Scrape } from './metrics.ts';
import type { Operations } from '../graphql/operation.ts';
import { addPages } from './pages.ts';
import type { Pipeline } from '../graphql/pipeline.ts';
import { addRest, restErrorBody, routedPath } from './rest.ts';
import { DATA_HEADERS, strictTransport } from './security-headers.ts';
import { isWebsocket, Websockets } from './websocket/websocket.ts';

const GRAPHQL_PATH = '/graphql';

/** For whoever starts and stops servers, and knows them by their addresses. */
const PROBES = new Set(['/health/live', '/health/ready']);

export interface AppOptions {
  pipeline: Pipeline;
  operations: Operations;
  /** Whether clients may ask for the schema. */
  introspection: boolean;
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
  const app = makeServer(options, () => connections);
  const connections = new Connections(app.server, { ...options.edge, isProxy: (address) => proxies.has(address) });
  const check = (request: IncomingMessage) => checkCaller(request, hosts, origins);
  addHooks(app, options, check);
  // Before the first route, which takes along the handler that it finds.
  addErrors(app, options.log);
  await addCors(app, origins);
  addRefusals(app, options, connections);
  await addGraphQL(app, GRAPHQL_PATH, options.pipeline, options.operations, options);
  addRest(app, allTables(), options.pipeline, options.operations);
  addHealth(app, options.status, options.access);
  addProbes(app, options.status, () => options.stopping.hasBegun);
  if (options.scrape) addMetrics(app, options.scrape);
  addPages(app, options.pages);
  const addressOf = (request: IncomingMessage) => proxies.addressOf(request);
  const maxPayloadBytes = options.bodyLimitBytes;
  const websockets = new Websockets(app.server, { ...options, addressOf, check, connections, maxPayloadBytes });
  // The HTTP server waits for the sockets to end, and they for nothing else: both close at the same time.
  let closed: Promise<void> | undefined;
  app.addHook('preClose', async () => void (closed = websockets.close()));
  app.addHook('onClose', async () => closed);
  return app;
}

const makeServer = (options: AppOptions, connections: () => Connections): FastifyInstance =>
  fastify({
    ...httpOptions(options.edge, (request) => isWebsocket(request, GRAPHQL_PATH), connections),
    rewriteUrl: ({ url = '/' }) => readablePath(routedPath(url)),
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

/** What all requests go through: `check` says who is answered at all. */
function addHooks(
  app: FastifyInstance,
  { hstsSubdomains, observer: { together }, stopping }: AppOptions,
  check: (request: IncomingMessage) => void,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers(DATA_HEADERS).header('x-request-id', request.id);
    if (request.protocol === 'https') void reply.headers(strictTransport(hstsSubdomains));
    done();
  });
  app.addHook('onRequest', (request, _reply, done) => {
    if (!PROBES.has(request.routeOptions.url ?? '')) check(request.raw);
    done();
  });
  if (together) app.addHook('preHandler', (_request, _reply, done) => together(done));
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (stopping.hasBegun) void reply.header('connection', 'close');
    done();
  });
}

/** What is not read: requests for which there is no room, bodies that nobody pays for. */
function addRefusals(
  app: FastifyInstance,
  { operations, pipeline: { limits } }: AppOptions,
  connections: Connections,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const refusal = connections.refusalOf(request.raw.socket);
    if (!refusal) return done(checkEncoding(request));
    void reply.headers({ connection: 'close', 'retry-after': '1' });
    return done(new ClientError('RATE_LIMITED', refusal));
  });
  const { budget } = limits;
  addBodies(app, ({ headers, ip }, bytes) =>
    budget.isLarge(bytes)
      ? operations.spenderOf(headers.authorization, ip).then((spender) => ({ refused: budget.body(spender, bytes) }))
      : undefined,
  );
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
    const body = restErrorBody(error, reply);
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
