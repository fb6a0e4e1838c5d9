import { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** What the driver hands to a maker of sockets. */
interface Target {
  host: string[];
  port: number[];
}

/** Makes the driver's sockets; a failure of `allowed` is the failure of the connection. */
export function gatedSocket(allowed: () => Promise<void>) {
  return async ({ host: [host = ''], port: [port = 5432] }: Target): Promise<Duplex> => {
    try {
      await allowed();
    } catch (error) {
      return broken(error as Error);
    }
    const socket = Object.assign(new Socket(), { host, port }); // the driver reads both for TLS
    return socket.connect(port, host);
  };
}

/** The driver is told of a failure by its sockets alone: one that was never made would keep its place in the pool. */
function broken(error: Error): Duplex {
  const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  setImmediate(() => socket.destroy(error));
  return socket;
}
