import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A proxy in front of PostgreSQL that greets each session with a cancel key of its own, and gives it a process of its own. */
export interface OwnKeyProxy {
  /** The same URL through the proxy. */
  through: (url: string) => string;
  stop: () => void;
}

const BACKEND_KEY = 0x4b;
const READY = 0x5a;

export async function startOwnKeyProxy(url: string): Promise<OwnKeyProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(new URL(url).port), '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
    }
    client.pipe(upstream);
    greet(upstream, client);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    through: (direct) => {
      const changed = new URL(direct);
      changed.port = String((server.address() as AddressInfo).port);
      return changed.href;
    },
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Up to the first ReadyForQuery messages are read one by one; the answer to a wish for TLS is one byte before them. */
function greet(from: Socket, to: Socket): void {
  let unread = Buffer.alloc(0);
  const take = (length: number) => {
    to.write(unread.subarray(0, length));
    unread = unread.subarray(length);
  };
  const read = (data: Buffer) => {
    unread = Buffer.concat([unread, data]);
    if (unread[0] === 'N'.charCodeAt(0) && unread.length === 1) return take(1);
    while (unread.length >= 5 && unread.length > unread.readInt32BE(1)) {
      const kind = unread[0];
      if (kind === BACKEND_KEY) unread.writeInt32BE(unread.readInt32BE(5) ^ 0x2a2a2a, 5);
      take(unread.readInt32BE(1) + 1);
      if (kind !== READY) continue;
      take(unread.length);
      from.off('data', read);
      from.pipe(to);
      return;
    }
  };
  from.on('data', read);
}
