import fastify, { type FastifyInstance } from 'fastify';
import type { ReplicationStatus } from '../replication/status.ts';
import { Hosts, Proxies } from './edge/callers.ts';
import { Connections } from './edge/connections.ts';
import { httpOptions, type EdgeOptions } from './edge/http-server.ts';
import { addHealth } from './health.ts';
import { restErrorBody } from './rest.ts';

/** What Prometheus reads, and the media type that says so. */
export interface Scrape {
  contentType: string;
  metrics: () => Promise<string>;
}

export function addMetrics(app: FastifyInstance, { contentType, metrics }: Scrape): void {
  app.get('/metrics', async (_, reply) =>
    reply
      .header('cache-control', 'no-store')
      .type(contentType)
      .send(await metrics()),
  );
}

interface MetricsOptions {
  scrape: Scrape;
  status: ReplicationStatus;
  edge: EdgeOptions;
  /** Undefined: any. */
  allowedHosts: readonly string[] | undefined;
}

/** Prometheus and a few who look: enough for them, and no more than the rest can spare. */
const CONNECTIONS_MOST = 20;

/** A server for what operators look at, on an address of its own: whoever reaches it sees all of it. */
export function createMetricsApp({ scrape, status, edge, allowedHosts }: MetricsOptions): FastifyInstance {
  const hosts = new Hosts(allowedHosts, new Proxies([]));
  const app: FastifyInstance = fastify({
    ...httpOptions(
      edge,
      () => false,
      () => connections,
    ),
    forceCloseConnections: true,
  });
  const limits = { ...edge, most: CONNECTIONS_MOST, perNetwork: Infinity, isProxy: () => false };
  const connections = new Connections(app.server, limits);
  app.addHook('onRequest', (request, reply, done) => {
    const refusal = connections.refusalOf(request.raw.socket);
    if (refusal) void reply.header('connection', 'close').code(429).send({ message: refusal });
    else done();
  });
  app.addHook('onRequest', (request, _reply, done) => {
    hosts.check(request.raw);
    done();
  });
  app.setErrorHandler<Error>(async (error, _request, reply) => {
    const body = restErrorBody(error, reply);
    if (!body) throw error;
    return body;
  });
  addMetrics(app, scrape);
  addHealth(app, status, undefined);
  return app;
}
