import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** Undefined: it may be read at once; else it is said later whether, and `refused` fails. */
type Admit = (request: FastifyRequest, bytes: number) => Promise<{ refused: Promise<never> | undefined }> | undefined;

/** JSON as it is sent: in UTF-8, whatever else is said of it, and not compressed. What is not admitted is not parsed. */
export function addBodies(app: FastifyInstance, admit: Admit): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request: FastifyRequest, body: Buffer, done) => {
    // Clients name the type with nothing to send, as with DELETE.
    if (body.length === 0) return done(null, undefined);
    const read = () => {
      if (!isUtf8(body)) return done(badRequest(400, NOT_UTF8), undefined);
      return parse(request, body.toString(), done);
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
