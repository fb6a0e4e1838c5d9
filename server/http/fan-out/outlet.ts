import type { WebSocket } from 'ws';

export interface OutletOptions {
  /** A socket with more than this unsent is full, in bytes. */
  bufferBytes: number;
  /** A socket that stays full for so long is closed. */
  slowClientTimeoutMs: number;
  /** Told when that happens. */
  gaveUp: () => void;
}

/** Of Readback: the client may connect again, and go on behind its last cursor. */
const TOO_SLOW = 4411;
const TERMINATE_MS = 1000;

/** Writes one subscription's messages to its socket, and knows when that is full. */
export class Outlet {
  readonly #socket: WebSocket;
  readonly #head: string;
  readonly #options: OutletOptions;
  #drained: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, id: string, options: OutletOptions) {
    this.#socket = socket;
    this.#head = `{"id":${JSON.stringify(id)},"type":"next","payload":`;
    this.#options = options;
  }

  /** False where the socket is full now: wait for `drained` before the next one. */
  send(payload: string): boolean {
    if (this.#socket.readyState !== this.#socket.OPEN) return true;
    const message = `${this.#head}${payload}}`;
    if (this.#socket.bufferedAmount + message.length <= this.#options.bufferBytes) {
      this.#socket.send(message);
      return true;
    }
    this.#drained = this.#sendLast(message);
    return false;
  }

  /** Resolves when everything sent so far has left, or the socket is closed. */
  drained(): Promise<void> {
    return this.#drained;
  }

  /** Messages leave in order: when this one has, all have. */
  async #sendLast(message: string): Promise<void> {
    const timer = setTimeout(() => this.#giveUp(), this.#options.slowClientTimeoutMs);
    await new Promise<void>((resolve) => this.#socket.send(message, () => resolve()));
    clearTimeout(timer);
  }

  #giveUp(): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#options.gaveUp();
    this.#socket.close(TOO_SLOW, 'Too slow: connect again, and go on behind your last cursor');
    // The close frame waits behind everything else.
    setTimeout(() => this.#socket.terminate(), TERMINATE_MS).unref();
  }
}
