import fastify, { type FastifyInstance } from 'fastify';

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

/** A server for the metrics alone, on an address of its own. */
export function createMetricsApp(scrape: Scrape): FastifyInstance {
  const app = fastify({ forceCloseConnections: true });
  addMetrics(app, scrape);
  return app;
}
