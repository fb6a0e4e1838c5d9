import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A load balancer for tests: each connection goes to the next server that says at /health/ready that it is. */
export interface Balancer {
  url: string;
  /** Resolves when it would, or would not, send anything to this server. */
  sees: (url: string, isReady: boolean) => Promise<void>;
  stop: () => Promise<void>;
}

const LOOK_MS = 50;

export async function startBalancer(urls: string[]): Promise<Balancer> {
  const ready = new Set<string>();
  const sockets = new Set<Socket>();
  const look = async (url: string) => {
    const isReady = await fetch(`${url}/health/ready`, { headers: { connection: 'close' } }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) ready.add(url);
    else ready.delete(url);
  };
  const lookAtAll = () => Promise.all(urls.map(look));
  let next = 0;
  const server = createServer((client) => {
    const candidates = urls.filter((url) => ready.has(url));
    const url = candidates[next++ % candidates.length];
    if (url === undefined) client.destroy();
    else
      for (const socket of pipe(client, url)) {
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
      }
  }).listen(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), lookAtAll()]);
  let looking: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => void (looking = lookAtAll()), LOOK_MS);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sees: async (url, isReady) => {
      while (ready.has(url) !== isReady) await once(AbortSignal.timeout(LOOK_MS), 'abort');
    },
    stop: async () => {
      clearInterval(timer);
      await looking;
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Ends and errors of one side are those of the other. */
function pipe(client: Socket, url: string): Socket[] {
  const upstream = connect(Number(new URL(url).port), '127.0.0.1');
  client.pipe(upstream).pipe(client);
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
  return [client, upstream];
}
