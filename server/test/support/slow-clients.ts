import { WebSocket } from 'ws';

/** What it reads of what it is sent: nothing after the first message, or a little now and then. */
export type Appetite = 'none' | 'little';

/** Then it reads what one read of its socket gives, 64 KiB at most: so it answers pings in time, and is not cut off. */
const EVERY_MS = 4000;

/** A client that subscribes and hardly reads; closed by the server, it comes back. */
export class SlowClient {
  readonly #url: string;
  readonly #query: string;
  readonly #appetite: Appetite;
  readonly #first = Promise.withResolvers<void>();
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(url: string, query: string, appetite: Appetite) {
    this.#url = `${url.replace('http', 'ws')}/graphql`;
    this.#query = query;
    this.#appetite = appetite;
    this.#connect();
  }

  /** Resolves when it has got a message. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#socket?.terminate();
  }

  #connect(): void {
    if (this.#isStopped) return;
    const socket = new WebSocket(this.#url, 'graphql-transport-ws');
    this.#socket = socket;
    socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('message', (data) => {
      if ((data as Buffer).toString() === '{"type":"connection_ack"}')
        return socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: this.#query } }));
      this.#first.resolve();
      if (socket.isPaused) return; // of the same read
      socket.pause();
      if (this.#appetite === 'little') this.#timer = setTimeout(() => socket.resume(), EVERY_MS);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(this.#timer);
      this.#connect();
    });
  }
}
