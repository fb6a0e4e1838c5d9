import type { Duplex } from 'node:stream';
import { networkOf } from '../../lib/network.ts';

/** Counts the open sockets of each network. */
export class SocketRoom {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** False: it has as many as it may have. The place is given back when the socket closes. */
  take(address: string, socket: Duplex): boolean {
    const network = networkOf(address);
    const count = this.#counts.get(network) ?? 0;
    if (count >= this.#most) return false;
    this.#counts.set(network, count + 1);
    socket.once('close', () => this.#giveBack(network));
    return true;
  }

  #giveBack(network: string): void {
    const count = this.#counts.get(network)! - 1;
    if (count === 0) this.#counts.delete(network);
    else this.#counts.set(network, count);
  }
}
