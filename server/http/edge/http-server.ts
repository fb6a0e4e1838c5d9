import type { IncomingMessage, ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections } from './connections.ts';
import { refuse, type Refusal } from './refusal.ts';

/** How long each part of an exchange may wait for its client, and how many connections there may be. */
export interface EdgeOptions {
  headersTimeoutMs: number;
  /** Headers and body. */
  requestTimeoutMs: number;
  responseTimeoutMs: number;
  /** Between two requests. */
  keepAliveTimeoutMs: number;
  /** Connections at once, and of one network. */
  most: number;
  perNetwork: number;
}

/** Node looks at the time of requests so often. */
const CHECK_MS = 1000;

/** What fastify makes an HTTP server of. `isUpgraded`: whether an upgrade is taken; any other is a request as ever. */
export function httpOptions(
  edge: EdgeOptions,
  isUpgraded: (request: IncomingMessage) => boolean,
  connections: () => Connections,
) {
  const http: ServerOptions = {
    headersTimeout: edge.headersTimeoutMs,
    requestTimeout: edge.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(CHECK_MS, edge.headersTimeoutMs),
    shouldUpgradeCallback: isUpgraded,
  };
  return {
    http,
    requestTimeout: edge.requestTimeoutMs,
    keepAliveTimeout: edge.keepAliveTimeoutMs,
    clientErrorHandler: (error: Error, socket: Socket) => {
      const isGone = 'code' in error && error.code === 'ECONNRESET';
      if (isGone || connections().isAnswering(socket)) return void socket.destroy();
      return refuse(socket, refusalFor(error, edge));
    },
  };
}

/** What came is no request, or none in time. */
function refusalFor({ code, message }: NodeJS.ErrnoException, edge: EdgeOptions): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return { status: 408, code: 'TIMEOUT', message: tooSlow(edge) };
  if (code === 'HPE_HEADER_OVERFLOW')
    return { status: 431, code: 'BAD_REQUEST', message: 'The headers of the request are larger than 16 KiB.' };
  return { status: 400, code: 'BAD_REQUEST', message: `This is no HTTP/1.1 request: ${message}.` };
}

const tooSlow = ({ headersTimeoutMs, requestTimeoutMs }: EdgeOptions) =>
  `The request did not arrive in time: its headers have ${headersTimeoutMs} ms, and all of it ${requestTimeoutMs} ms.`;
