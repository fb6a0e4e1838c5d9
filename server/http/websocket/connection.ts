import { isUtf8 } from 'node:buffer';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Logger } from '../../lib/logger.ts';
import type { Operation } from '../operation.ts';
import type { SocketSession } from './session.ts';

const TERMINATE_MS = 1000;
const HELLO_MS = 3000;
/** graphql-transport-ws has them. */
const [NO_HELLO, BROKEN] = [4408, 4500];
/** RFC 6455 has it, as for text frames, where it is `ws` that looks. */
const NOT_UTF8 = 1007;

interface Origin {
  address: string;
  /** The header of the request that it began with. */
  authorization: string | undefined;
  log: Logger;
}

/**
 * A client's websocket, as graphql-ws, the fan-out and the session know it. There are many, mostly idle: it holds what an
 * open socket needs, and nothing of the request that it began with.
 */
export class Connection {
  readonly address: string;
  /** Once the connection is acknowledged. */
  session: SocketSession | undefined;
  /** Queries and mutations under way, each with its answer. */
  running: Map<Operation, Promise<unknown>> | undefined;
  /** It has answered the last ping. */
  isAlive = true;
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  readonly #log: Logger;
  #authorization: string | undefined;
  #hello: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, stream: Duplex, { address, authorization, log }: Origin) {
    this.#socket = socket;
    this.#stream = stream;
    this.#log = log;
    this.address = address;
    this.#authorization = authorization;
    this.#hello = setTimeout(() => this.end(NO_HELLO, 'Connection initialisation timeout'), HELLO_MS).unref();
  }

  /** The client has said hello. Returns the header of its request, which is held until then. */
  greeted(): string | undefined {
    const authorization = this.#authorization;
    clearTimeout(this.#hello);
    this.#hello = undefined;
    this.#authorization = undefined;
    return authorization;
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
    return new Promise((resolve) => {
      if (!this.isOpen) return resolve();
      // A socket that fails closes by itself.
      this.#socket.send(data, () => resolve());
    });
  }

  /**
   * Whole frames, made by the caller: `ws` writes a frame as two pieces, and that costs about a tenth more. They go in
   * between its own, which leave as they are made, as nothing is compressed.
   */
  write(frames: Buffer, left?: () => void): void {
    this.#stream.write(frames, left);
  }

  /** The text of each message; a failure is the end of the connection. */
  onMessage(take: (text: string) => Promise<void>): void {
    this.#socket.on('message', (data, isBinary) => {
      if (isBinary && !isUtf8(data as Buffer)) return this.end(NOT_UTF8, 'A message must be UTF-8');
      return void take(String(data as Buffer)).catch((error) => this.#fail(error));
    });
  }

  #fail(error: unknown): void {
    this.#log.error({ err: error }, 'a websocket is closed: what its client sent could not be handled');
    this.end(BROKEN, 'Internal server error');
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  /** What was sent before arrives before the close frame; a client that does not answer that is cut off. */
  end(code: number, reason: string): void {
    this.close(code, reason);
    setTimeout(() => this.terminate(), TERMINATE_MS).unref();
  }

  /** Resolves when it is, whatever goes wrong on the way. */
  async closed(): Promise<void> {
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    await new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
  }

  terminate(): void {
    this.#socket.terminate();
  }

  ping(): void {
    if (this.isOpen) this.#socket.ping();
  }
}
