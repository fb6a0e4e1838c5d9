import { setImmediate as turn } from 'node:timers/promises';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { handleProtocols } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import { withinMs } from '../../lib/within.ts';
import { SocketRoom } from '../limits/socket-room.ts';
import { Connection } from './connection.ts';
import { Conversation, type Handlers } from './conversation.ts';
import { Heartbeat } from './heartbeat.ts';
import { handlers, type SocketOptions } from './operations.ts';
import type { Stopping } from '../../lib/stopping.ts';

interface WebsocketOptions extends SocketOptions {
  /** Where a socket comes from, as far as proxies are trusted. */
  addressOf: (request: IncomingMessage) => string;
  path: string;
  maxPayloadBytes: number;
  stopping: Stopping;
}

/** Clients of graphql-ws come back after it, as after 1001, and find another server, or this one again. */
const SERVICE_RESTART = 1012;

/**
 * graphql-transport-ws on the HTTP server's port. Returns how to close it: queries and mutations that run are answered
 * first, as long as there is time, then the socket is told that the server goes. What was sent before arrives before.
 */
export function attachWebsockets(http: Server, options: WebsocketOptions): () => Promise<void> {
  const maxPayload = options.maxPayloadBytes;
  const sockets = new WebSocketServer({ noServer: true, clientTracking: false, maxPayload, handleProtocols });
  const served = handlers(options);
  const heartbeat = new Heartbeat();
  let isClosing = false;
  const { socketsPerAddress, socketUnsentBytes: unsentMost } = options.limits.options;
  const room = new SocketRoom(socketsPerAddress);
  http.on('upgrade', (request, stream, head) => {
    if (request.url?.split('?')[0] !== options.path) return refuse(stream, '404 Not Found');
    if (isClosing) return refuse(stream, '503 Service Unavailable');
    const address = options.addressOf(request);
    if (!room.take(address, stream)) return refuse(stream, '429 Too Many Requests');
    const origin = { address, authorization: request.headers.authorization, unsentMost, log: options.log };
    sockets.handleUpgrade(request, stream, head, (socket) =>
      accept(served, heartbeat, socket, new Connection(socket, stream, origin)),
    );
  });
  return async () => {
    isClosing = true;
    const answered = heartbeat.all.map(closeWhenAnswered);
    await withinMs(Promise.all(answered), options.stopping.finishMs).catch(() => undefined);
    await Promise.all(heartbeat.all.map(goAway));
    heartbeat.stop();
  };
}

function refuse(stream: Duplex, status: string): void {
  stream.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
}

function accept(served: Handlers, heartbeat: Heartbeat, socket: WebSocket, connection: Connection): void {
  heartbeat.add(connection);
  socket.on('error', terminate);
  socket.on('pong', (data) => connection.ponged(data));
  const conversation = new Conversation(connection, served);
  socket.on('close', () => {
    heartbeat.delete(connection);
    connection.session?.release();
    conversation.closed();
    connection.gone();
  });
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
