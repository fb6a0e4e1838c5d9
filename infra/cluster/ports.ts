import { createServer, type AddressInfo, type Server } from 'node:net';
import type { ServerSpec } from './protocol.ts';

const VARIABLES: Record<string, string> = { primary: 'EMBEDDED_PRIMARY_PORT', replica: 'EMBEDDED_REPLICA_PORT' };

/** Binds all ports at once, so that two free ones are never the same; PostgreSQL takes them right after. */
export async function settlePorts(servers: ServerSpec[]): Promise<ServerSpec[]> {
  refuseTwins(servers);
  const bound: { spec: ServerSpec; server: Server }[] = [];
  try {
    for (const spec of servers) bound.push({ spec, server: await bind(spec) });
    return bound.map(({ spec, server }) => ({ ...spec, port: (server.address() as AddressInfo).port }));
  } finally {
    await Promise.all(bound.map(({ server }) => new Promise((done) => server.close(done))));
  }
}

function refuseTwins(servers: ServerSpec[]): void {
  const ports = servers.map(({ port }) => port).filter((port) => port !== 0);
  const twin = ports.find((port, index) => ports.indexOf(port) !== index);
  if (twin !== undefined) throw new Error(`Two servers are to listen on port ${twin}: give each its own.`);
}

function bind(spec: ServerSpec): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(new Error(refusal(spec, cause), { cause })));
    server.listen({ port: spec.port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

function refusal({ name, port }: ServerSpec, { code }: NodeJS.ErrnoException): string {
  const variable = VARIABLES[name];
  const advice = variable === undefined ? `choose another port for ${name}.` : `set ${variable} to a free port.`;
  if (code === 'EADDRINUSE') return `Port ${port} is taken: stop what listens there, or ${advice}`;
  return `Cannot listen on port ${port} (${code}): ${advice}`;
}
