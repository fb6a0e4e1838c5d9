import { setImmediate as turn } from 'node:timers/promises';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { handleProtocols } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import { asClientError } from '../../lib/errors.ts';
import { withinMs } from '../../lib/within.ts';
import type { Connections } from '../edge/connections.ts';
import { ignoreErrors, refuse, type Refusal } from '../edge/refusal.ts';
import { networkOf } from '../../lib/network.ts';
import type { Logger } from '../../lib/logger.ts';
import { Connection, Heartbeat } from './connection.ts';
import { Conversation, type Handlers } from './conversation.ts';
import { handlers, type SocketOptions } from './operations.ts';
import type { Stopping } from '../../lib/stopping.ts';

interface WebsocketOptions extends SocketOptions {
  /** Where a socket comes from, as far as proxies are trusted. */
  addressOf: (request: IncomingMessage) => string;
  /** @throws ClientError FORBIDDEN where it is for another host, or a page of another origin asks. */
  check: (request: IncomingMessage) => void;
  connections: Connections;
  maxPayloadBytes: number;
  log: Logger;
  stopping: Stopping;
}

/** How long a client may take to answer a close frame. The types of `ws` lack it. */
const CLOSING = { closeTimeout: 1000 };

/** Clients of graphql-ws come back after it, as after 1001, and find another server, or this one again. */
const SERVICE_RESTART = 1012;

/** Clients ask for other upgrades, such as h2c, and take the answer as it comes: those are requests as any other. */
export const isWebsocket = ({ method, headers, url, httpVersion }: IncomingMessage, path: string) =>
  method === 'GET' &&
  httpVersion === '1.1' &&
  headers.upgrade?.toLowerCase() === 'websocket' &&
  url?.split('?')[0] === path;

/** graphql-transport-ws on the HTTP server's port. */
export class Websockets {
  readonly #options: WebsocketOptions;
  readonly #sockets: WebSocketServer;
  readonly #served: Handlers;
  readonly #heartbeat = new Heartbeat();
  readonly #room: SocketRoom;
  readonly #heard: (spender: string, bytes: number) => number;
  #isClosing = false;

  constructor(http: Server, options: WebsocketOptions) {
    const { limits } = options.pipeline;
    const { maxPayloadBytes: maxPayload } = options;
    this.#options = options;
    this.#served = handlers(options);
    this.#room = new SocketRoom(limits.options.socketsPerAddress);
    this.#heard = (spender, bytes) => limits.budget.heard(spender, bytes);
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload,
      handleProtocols,
      ...CLOSING,
    });
    http.on('upgrade', (request, stream, head) => this.#upgrade(request, stream, head));
  }

  #upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    ignoreErrors(stream);
    const { addressOf, pipeline, log } = this.#options;
    const address = addressOf(request);
    const refusal = this.#whyNot(request, address);
    if (refusal) return refuse(stream, refusal);
    const { authorization } = request.headers;
    const unsentMost = pipeline.limits.options.socketUnsentBytes;
    const origin = { address, authorization, unsentMost, heard: this.#heard, log };
    return this.#sockets.handleUpgrade(request, stream, head, (socket) =>
      this.#accept(socket, new Connection(socket, stream, origin)),
    );
  }

  #whyNot(request: IncomingMessage, address: string): Refusal | undefined {
    if (this.#isClosing) return STOPPING;
    const foreign = forbidden(() => this.#options.check(request));
    if (foreign) return foreign;
    const full = this.#options.connections.becomesWebsocket(request.socket);
    if (full !== undefined) return { status: 429, code: 'RATE_LIMITED', message: full };
    return this.#room.take(address, request.socket) ? undefined : tooMany(this.#room.most);
  }

  #accept(socket: WebSocket, connection: Connection): void {
    this.#heartbeat.add(connection);
    socket.on('error', terminate);
    socket.on('pong', (data) => connection.ponged(data));
    const conversation = new Conversation(connection, this.#served);
    socket.on('close', () => {
      this.#heartbeat.delete(connection);
      connection.session?.release();
      conversation.closed();
      connection.gone();
    });
  }

  /**
   * Queries and mutations that run are answered first, as long as there is time, then the socket is told that the server
   * goes. What was sent before arrives before.
   */
  async close(): Promise<void> {
    this.#isClosing = true;
    const answered = this.#heartbeat.all.map(closeWhenAnswered);
    await withinMs(Promise.all(answered), this.#options.stopping.finishMs).catch(() => undefined); // the rest is cut off
    await Promise.all(this.#heartbeat.all.map(goAway));
    this.#heartbeat.stop();
  }
}

const STOPPING: Refusal = {
  status: 503,
  code: 'RATE_LIMITED',
  message: 'The server is stopping: connect again, to another one.',
};

const tooMany = (most: number): Refusal => ({
  status: 429,
  code: 'RATE_LIMITED',
  message: `There are ${most} websockets from your address, which is the most: close one first.`,
});

function forbidden(check: () => void): Refusal | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    const client = asClientError(error);
    if (!client) throw error;
    return { status: 403, code: client.code, message: client.message };
  }
}

/** A frame that is none, or too large: the socket's own fault, and its end. */
function terminate(this: WebSocket): void {
  this.terminate();
}

async function closeWhenAnswered(connection: Connection): Promise<void> {
  while (connection.running && connection.running.size > 0) {
    await Promise.allSettled(connection.running.values());
    await turn(); // it is sent within the turn that it is made in
  }
  void goAway(connection);
}

/** What arrives on it after that is not run: its answer would not arrive. Resolves when it is closed. */
function goAway(connection: Connection): Promise<void> {
  const reason = 'The server is stopping: connect again';
  const { session } = connection;
  if (session && !session.isOver) session.close(SERVICE_RESTART, reason);
  else connection.end(SERVICE_RESTART, reason);
  return connection.closed();
}

/** Counts the open sockets of each network. */
class SocketRoom {
  readonly most: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.most = most;
  }

  /** False: it has as many as it may have. The place is given back when the socket closes. */
  take(address: string, socket: Duplex): boolean {
    const network = networkOf(address);
    const count = this.#counts.get(network) ?? 0;
    if (count >= this.most) return false;
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
