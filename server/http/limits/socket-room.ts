import type { Duplex } from 'node:stream';

/** Counts the open sockets of each address. */
export class SocketRoom {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** False: the address has as many as it may have. The place is given back when the socket closes. */
  take(address: string, socket: Duplex): boolean {
    const count = this.#counts.get(address) ?? 0;
    if (count >= this.#most) return false;
    this.#counts.set(address, count + 1);
    socket.once('close', () => this.#giveBack(address));
    return true;
  }

  #giveBack(address: string): void {
    const count = this.#counts.get(address)! - 1;
    if (count === 0) this.#counts.delete(address);
    else this.#counts.set(address, count);
  }
}
