import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Operation } from './operation.ts';
import type { SocketSession } from './socket-session.ts';

const TERMINATE_MS = 1000;
const BROKEN = 4500;

/**
 * A client's websocket, as graphql-ws, the fan-out and the session know it. There are many, mostly idle: it holds what an
 * open socket needs, and nothing of the request that it began with.
 */
export class Connection {
  readonly address: string;
  /** The header of that request, until the client says hello. */
  authorization: string | undefined;
  /** Once the connection is acknowledged. */
  session: SocketSession | undefined;
  /** Queries and mutations under way, each with its answer. */
  running: Map<Operation, Promise<unknown>> | undefined;
  /** It has answered the last ping. */
  isAlive = true;
  readonly #socket: WebSocket;
  readonly #stream: Duplex;

  constructor(socket: WebSocket, stream: Duplex, address: string, authorization: string | undefined) {
    this.#socket = socket;
    this.#stream = stream;
    this.address = address;
    this.authorization = authorization;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Bytes that wait to leave. */
  get unsent(): number {
    return this.#socket.bufferedAmount;
  }

  /** Resolves when it has left: who sends many waits for that. */
  send(data: string): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return resolve();
      this.#socket.send(data, (error) => (error ? reject(error) : resolve()));
    });
  }

  /**
   * Whole frames, made by the caller: `ws` writes a frame as two pieces, and that costs about a tenth more. They go in
   * between its own, which leave as they are made, as nothing is compressed.
   */
  write(frames: Buffer, left?: () => void): void {
    this.#stream.write(frames, left);
  }

  /** The text of each message; a failure is the server's, and the end of the connection. */
  onMessage(take: (text: string) => Promise<void>): void {
    const failed = () => this.#socket.close(BROKEN, 'Internal server error');
    this.#socket.on('message', (data) => void take(String(data as Buffer)).catch(failed));
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  /** What was sent before arrives before the close frame; a client that does not answer that is cut off. */
  end(code: number, reason: string): void {
    this.close(code, reason);
    setTimeout(() => this.terminate(), TERMINATE_MS).unref();
  }

  async closed(): Promise<void> {
    if (this.#socket.readyState !== this.#socket.CLOSED) await once(this.#socket, 'close');
  }

  terminate(): void {
    this.#socket.terminate();
  }

  ping(): void {
    if (this.isOpen) this.#socket.ping();
  }
}
