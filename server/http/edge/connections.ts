import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { kept } from '../../lib/kept.ts';
import { networkOf } from '../../lib/network.ts';
import { refuse, type Refusal } from './refusal.ts';

export interface ConnectionLimits {
  /** Open at once, websockets included. */
  most: number;
  /** Of one network: an IPv4 address, or an IPv6 /64. Infinity: no limit. */
  perNetwork: number;
  /** Addresses of proxies, which connect for many. */
  isProxy: (address: string) => boolean;
  /** That a client may take to read an answer. */
  responseTimeoutMs: number;
}

/** A connection, and the latest request on it. */
interface Open {
  socket: Socket;
  network: string;
  atMs: number;
  request?: IncomingMessage;
  response?: ServerResponse;
  /** Its answer was still being sent when it was last looked at, and since then. */
  sendingSince?: number | undefined;
  /** Why there is no room for it: its request is answered with that. */
  refusal?: string;
}

/** A client sends its request at once: who has waited for less is not taken for silent. */
const SILENT_MS = 1000;
const SWEEP_MS = 1000;
/** A refused connection has a second to send the request that it is told in answer to, and so many may at once. */
const [REFUSED_MS, REFUSED_MOST] = [1000, 32];
/** Websockets may be open for days: what is left is for requests. */
const WEBSOCKET_SHARE = 0.75;

/** Open connections in the order in which they came. */
class Room {
  /** No request on it had come in full when it was last looked at. */
  readonly fresh = new Set<Open>();
  readonly used = new Set<Open>();

  get size(): number {
    return this.fresh.size + this.used.size;
  }

  delete(open: Open): void {
    this.fresh.delete(open);
    this.used.delete(open);
  }

  use(open: Open): void {
    if (this.fresh.delete(open)) this.used.add(open);
  }

  /** The one to close: silent, else idle between requests, and only then one that has just come. */
  get waiting(): Open | undefined {
    const before = performance.now() - SILENT_MS;
    for (const open of this.fresh) {
      if (open.atMs > before) break; // all after it are younger
      if (isWaiting(open)) return open;
    }
    return this.used.values().find(isWaiting) ?? this.fresh.values().find(isWaiting);
  }
}

/**
 * The open connections of an HTTP server, as many as it may have. Where there is no room for one more, the oldest that
 * waits for its client makes room: whoever is silent, sends half a request or does not read an answer keeps nobody out.
 * Only where the server is at work on all of them, a new one is refused.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #all = new Room();
  readonly #ofNetwork = new Map<string, Room>();
  readonly #known = new WeakMap<Socket, Open>();
  #websockets = 0;
  #refused = 0;

  constructor(server: Server, limits: ConnectionLimits) {
    this.#limits = limits;
    server.on('connection', (socket) => this.#opened(socket));
    server.on('request', (request, response) => this.#requested(request, response));
    const sweep = setInterval(() => this.#sweep(), Math.min(SWEEP_MS, limits.responseTimeoutMs / 2)).unref();
    server.once('close', () => clearInterval(sweep));
  }

  /** Undefined: the connection has room. */
  refusalOf(socket: Socket): string | undefined {
    return this.#known.get(socket)?.refusal;
  }

  /** A part of an answer has left: nothing else can be said any more. */
  isAnswering(socket: Socket): boolean {
    const { response } = this.#known.get(socket) ?? {};
    return response !== undefined && response.headersSent && !response.writableFinished;
  }

  /** The connection becomes a websocket, which holds nothing of its request. Undefined: it may. */
  becomesWebsocket(socket: Socket): string | undefined {
    const most = Math.floor(this.#limits.most * WEBSOCKET_SHARE);
    const refusal = this.refusalOf(socket) ?? (this.#websockets < most ? undefined : tooMany(`${most} websockets`));
    if (refusal) return refusal;
    const open = this.#known.get(socket);
    if (open) this.#forget(open);
    delete open?.request;
    delete open?.response;
    this.#websockets++;
    socket.once('close', this.#websocketClosed);
    return undefined;
  }

  readonly #websocketClosed = () => void this.#websockets--;

  #opened(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const isProxy = this.#limits.isProxy(address);
    const open: Open = { socket, network: isProxy ? 'proxies' : networkOf(address), atMs: performance.now() };
    this.#known.set(socket, open);
    const refusal = this.#roomFor(open.network, isProxy);
    if (refusal) return this.#refuse(open, refusal);
    this.#all.fresh.add(open);
    this.#roomOf(open.network).fresh.add(open);
    socket.once('close', () => this.#forget(open));
  }

  #roomFor(network: string, isProxy: boolean): string | undefined {
    const { most, perNetwork } = this.#limits;
    const own = this.#ofNetwork.get(network);
    if (own && !isProxy && own.size >= perNetwork && !this.#closeOne(own))
      return tooMany(`${perNetwork} connections from ${network}`);
    if (this.#all.size + this.#websockets < most || (own && this.#closeOne(own)) || this.#closeOne(this.#all))
      return undefined;
    return tooMany(`${most} connections`);
  }

  #roomOf(network: string): Room {
    return kept(this.#ofNetwork, network, () => new Room());
  }

  /** False: the server is at work on all of them. */
  #closeOne(room: Room): boolean {
    const open = room.waiting;
    if (!open) return false;
    this.#forget(open);
    const isBetweenRequests = open.response?.writableEnded === true;
    if (isBetweenRequests || this.isAnswering(open.socket)) open.socket.destroy();
    else refuse(open.socket, MADE_ROOM);
    return true;
  }

  #forget(open: Open): void {
    this.#all.delete(open);
    const own = this.#ofNetwork.get(open.network);
    own?.delete(open);
    if (own?.size === 0) this.#ofNetwork.delete(open.network);
    this.#known.delete(open.socket);
  }

  #refuse(open: Open, refusal: string): void {
    if (this.#refused >= REFUSED_MOST) return void open.socket.destroy();
    this.#refused++;
    open.refusal = refusal;
    const cut = setTimeout(() => open.socket.destroy(), REFUSED_MS).unref();
    open.socket.once('close', () => {
      this.#refused--;
      clearTimeout(cut);
    });
  }

  #requested(request: IncomingMessage, response: ServerResponse): void {
    const open = this.#known.get(request.socket);
    if (!open) return;
    open.request = request;
    open.response = response;
  }

  /** Node bounds the time of requests and of the pauses between them, not that of answers. */
  #sweep(): void {
    for (const open of this.#all.fresh) {
      if (open.request?.complete !== true) continue;
      this.#all.use(open);
      this.#ofNetwork.get(open.network)?.use(open);
    }
    const now = performance.now();
    for (const open of this.#all.used) {
      open.sendingSince = isSending(open) ? (open.sendingSince ?? now) : undefined;
      const sendingMs = now - (open.sendingSince ?? now);
      if (sendingMs >= this.#limits.responseTimeoutMs) open.socket.destroy();
    }
  }
}

/** An answer that leaves as it is made is none that waits: only what a sweep has seen before. */
function isWaiting({ request, response, sendingSince }: Open): boolean {
  if (!request || !response || !request.complete || response.writableFinished) return true;
  return sendingSince !== undefined && performance.now() - sendingSince >= SWEEP_MS;
}

const isSending = ({ response }: Open) => response?.writableEnded === true && !response.writableFinished;

const tooMany = (what: string) =>
  `This server has ${what} open, which is the most, and none of them is idle: try again in a moment.`;

const MADE_ROOM: Refusal = {
  status: 408,
  code: 'TIMEOUT',
  message:
    'This server has as many connections open as it may, and this one waited for the rest of its request: send it again.',
};
