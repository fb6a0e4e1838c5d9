import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Connections } from './connections.ts';
import { refuse, type Refusal } from './refusal.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of its body, where that is JSON; '' where there is none. */
    text: string;
  }
}

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

/** An id in a path may be as long as Node lets the headers be, 16 KiB: the router has no patterns that long ones slow down. */
const MOST_PATH = 16 * 1024;
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
    routerOptions: { maxParamLength: MOST_PATH },
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

/** Undefined: it may be read at once; else it is said later whether, and `refused` fails. */
type Admit = (request: FastifyRequest, bytes: number) => Promise<{ refused: Promise<never> | undefined }> | undefined;

/** JSON as it is sent: in UTF-8, whatever else is said of it, and not compressed. What is not admitted is not parsed. */
export function addBodies(app: FastifyInstance, admit: Admit): void {
  app.decorateRequest('text', '');
  // A JSON value may have members such as `__proto__`. They are members like any other: nothing here sets one by its name.
  const parse = app.getDefaultJsonParser('ignore', 'ignore');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request: FastifyRequest, body: Buffer, done) => {
    // Clients name the type with nothing to send, as with DELETE.
    if (body.length === 0) return done(null, undefined);
    const read = () => {
      if (!isUtf8(body)) return done(badRequest(400, NOT_UTF8), undefined);
      // A byte order mark may come before it, and is none of JSON.
      request.text = body.toString().replace(/^\uFEFF/, '');
      return parse(request, request.text, done);
    };
    const admitted = admit(request, body.length);
    if (!admitted) return read();
    const fail = failing(done);
    admitted.then(({ refused }) => (refused ? void refused.catch(fail) : read())).catch(fail);
  });
}

/** One that is refused waits for that without its body, which a function made beside it would hold. */
const failing = (done: (error: Error, body: undefined) => void) => (error: Error) => done(error, undefined);

const badRequest = (statusCode: number, message: string) => Object.assign(new Error(message), { statusCode });

const NOT_UTF8 = 'The body must be JSON in UTF-8, and some of its bytes are no UTF-8: encode it again.';

/** Undefined: the body is sent as it is. */
export function checkEncoding({ headers }: FastifyRequest): Error | undefined {
  const encoding = headers['content-encoding']?.trim().toLowerCase();
  if (encoding === undefined || encoding === '' || encoding === 'identity') return undefined;
  return badRequest(
    415,
    `A body is sent as it is, without content-encoding, and this one is ${encoding.slice(0, 50)}.`,
  );
}

/** A percent sign that encodes nothing is taken as it stands: fastify answers such a path by itself, without any hook. */
export function readablePath(url: string): string {
  if (!url.includes('%')) return url;
  const [path = ''] = url.split('?');
  try {
    decodeURIComponent(path);
    return url;
  } catch {
    // It encodes nothing.
    return path.replaceAll('%', '%25') + url.slice(path.length);
  }
}
