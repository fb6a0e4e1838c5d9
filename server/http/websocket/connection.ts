import { isUtf8 } from 'node:buffer';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Logger } from '../../lib/logger.ts';
import { spenderOf } from '../../lib/spender.ts';
import type { Operation } from '../../graphql/operation.ts';
import type { SocketSession } from './session.ts';

const TERMINATE_MS = 1000;
const HELLO_MS = 3000;
const REST_MS = 1000;
/** Whoever would have to rest for longer is disconnected. */
const LONGEST_REST_MS = 5000;
/** RFC 6455 has it, and clients come back after a while. */
const TRY_AGAIN_LATER = 1013;
const SMALL_HELLO = 10_000;
/** graphql-transport-ws has them. */
const [NO_HELLO, BROKEN] = [4408, 4500];
/** RFC 6455 has it, as for text frames, where it is `ws` that looks. */
const NOT_UTF8 = 1007;

interface Origin {
  address: string;
  /** The header of the request that it began with. */
  authorization: string | undefined;
  /** With more than this waiting to leave, nothing more is read from it, in bytes. */
  unsentMost: number;
  /** Counts a message. Returns how long no more is to be read of whoever has sent it, in milliseconds. */
  heard: (spender: string, bytes: number) => number;
  log: Logger;
}

/**
 * A client's websocket, as its conversation, the fan-out and the session know it. There are many, mostly idle: it holds what an
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
  /** How often somebody has asked whether the client has read what was sent. */
  #questions = 0;
  #unanswered: { question: number; answered: () => void }[] | undefined;
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  readonly #unsentMost: number;
  readonly #heard: Origin['heard'];
  #hasSpoken = false;
  /** What still arrives is not looked at. */
  #isDeaf = false;
  readonly #log: Logger;
  #authorization: string | undefined;
  #hello: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, stream: Duplex, { address, authorization, unsentMost, heard, log }: Origin) {
    this.#socket = socket;
    this.#stream = stream;
    this.#unsentMost = unsentMost;
    this.#heard = heard;
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
   * between its own, which leave as they are made, as nothing is compressed. What has to wait does so outside of the heap,
   * and leaves from there: strings that wait are copied first, all at once.
   */
  write(frames: string, left?: () => void): void {
    const stream = this.#stream;
    if (stream.writableLength === 0) stream.write(frames, 'latin1', left);
    else stream.write(Buffer.from(frames, 'latin1'), left);
  }

  /** The text of each message; a failure is the end of the connection. */
  onMessage(take: (text: string) => Promise<void>): void {
    this.#socket.on('ping', ({ length }) => this.#hears(length) && this.#holdOff());
    this.#socket.on('message', (data, isBinary) => {
      if (!this.#hears((data as Buffer).length)) return;
      if (isBinary && !isUtf8(data as Buffer)) return this.end(NOT_UTF8, 'A message must be UTF-8');
      this.#holdOff();
      return void take(String(data as Buffer)).catch((error) => this.fail(error));
    });
  }

  /**
   * Whether a message is to be looked at: to read and to answer it takes time, whatever it is. Who sends much is heard more
   * slowly, on all of their sockets. The first message of a socket, if it is small, says who they are, and is nobody's.
   */
  #hears(bytes: number): boolean {
    if (this.#isDeaf) return false;
    const isHello = !this.#hasSpoken && bytes < SMALL_HELLO;
    this.#hasSpoken = true;
    const restMs = isHello ? 0 : this.#heard(spenderOf(this.session?.user ?? null, this.address), bytes);
    if (restMs > LONGEST_REST_MS) {
      this.#isDeaf = true;
      this.end(TRY_AGAIN_LATER, 'Too much was sent: connect again after a while');
    } else if (restMs > 0) this.rest(restMs);
    return !this.#isDeaf;
  }

  /** A client that asks and does not read: its answers would pile up here, so it is heard again when they have left. */
  #holdOff(): void {
    if (this.#socket.isPaused || this.unsent <= this.#unsentMost) return;
    this.#socket.pause();
    this.#stream.once('drain', () => this.#socket.resume());
  }

  /** A client that asks for too much is heard again after a while: who is refused at once asks again at once. */
  rest(ms = REST_MS): void {
    if (this.#socket.isPaused) return;
    this.#socket.pause();
    setTimeout(() => this.#socket.resume(), ms).unref();
  }

  /** What its client sent, or its end, could not be handled. */
  fail(error: unknown): void {
    this.#log.error({ err: error }, 'a websocket is closed: what its client did could not be handled');
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

  /** Its pong says that everything sent before was read. With no data it leaves in one write. */
  ping(): void {
    if (this.isOpen) this.#socket.ping(this.#unanswered && `${this.#questions}`);
  }

  /** Resolves when the client has read all that was sent before, or is gone. */
  async read(): Promise<void> {
    if (!this.isOpen) return;
    const question = ++this.#questions;
    const read = new Promise<void>((answered) => (this.#unanswered ??= []).push({ question, answered }));
    this.ping();
    await read;
  }

  /** Clients answer in order, and may answer the last of several pings alone: one with no data answers no question. */
  ponged(data: Buffer): void {
    this.isAlive = true;
    this.#answerUpTo(Number(data));
  }

  gone(): void {
    this.#answerUpTo(Infinity);
  }

  #answerUpTo(last: number): void {
    while (this.#unanswered?.[0] && this.#unanswered[0].question <= last) this.#unanswered.shift()!.answered();
    if (this.#unanswered?.length === 0) this.#unanswered = undefined;
  }
}

const BEAT_MS = 1000;
/** A connection is pinged every so many beats, and cut off where it has not answered by then. */
const BEATS = 12;

/** The open connections. One timer pings a part of them at a time: a timer for each costs memory, all at once a stall. */
export class Heartbeat {
  readonly #parts = Array.from({ length: BEATS }, () => new Set<Connection>());
  readonly #timer: NodeJS.Timeout;
  #now = 0;

  constructor(beatMs = BEAT_MS) {
    this.#timer = setInterval(() => this.#beat(), beatMs).unref();
  }

  get all(): Connection[] {
    return this.#parts.flatMap((part) => Array.from(part));
  }

  /** Its turn is the last one. */
  add(connection: Connection): void {
    this.#parts[this.#now]!.add(connection);
  }

  delete(connection: Connection): void {
    for (const part of this.#parts) if (part.delete(connection)) return;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    this.#now = (this.#now + 1) % BEATS;
    for (const connection of this.#parts[this.#now]!) {
      if (!connection.isAlive) connection.terminate();
      connection.isAlive = false;
      connection.ping();
    }
  }
}
