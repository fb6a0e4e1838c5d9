import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { PAGE_HEADERS } from './security-headers.ts';

/** A page that the build bundled. */
interface Page {
  /** Its folder in dist/pages. */
  name: string;
  path: string;
  /** Its other files are under this path. */
  files: string;
  policy: Record<string, string>;
}

const STRICT = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self'",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
};

const PAGES: Page[] = [
  { name: 'console', path: '/', files: '/console/', policy: STRICT },
  {
    name: 'explore',
    path: '/explore',
    files: '/explore/',
    // Its editor makes style elements and inline pictures as it goes.
    policy: {
      ...STRICT,
      'style-src': "'self' 'unsafe-inline'",
      'img-src': "'self' data:",
      'font-src': "'self' data:",
      'worker-src': "'self'",
    },
  },
];

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
};

const PAGE_FILE = 'index.html';

/** The one that is smaller comes first. */
const ENCODINGS = { br: '.br', gzip: '.gz' };

/** The console and the explorer, as the build left them in dist/pages. */
export function addPages(app: FastifyInstance, folder: string): void {
  for (const page of PAGES) addPage(app, page, join(folder, page.name));
}

function addPage(app: FastifyInstance, { path, files, policy }: Page, folder: string): void {
  const shelf = new Shelf(folder);
  const security = Object.entries(policy).map(([name, value]) => `${name} ${value}`);
  app.get(path, async (request, reply) => {
    void reply.headers({ ...PAGE_HEADERS, 'content-security-policy': security.join('; ') });
    return send(request, reply, shelf, PAGE_FILE, 'no-cache');
  });
  app.get<{ Params: { file: string } }>(`${files}:file`, async (request, reply) => {
    const { file } = request.params;
    if (file === PAGE_FILE) return reply.callNotFound();
    // Named by what is in it, a file never changes. The page does, and has its policy at its own path only.
    return send(request, reply, shelf, file, 'public, max-age=31536000, immutable');
  });
}

/** A page's files, each read when it is first asked for, and kept. */
class Shelf {
  readonly #folder: string;
  readonly #names: ReadonlySet<string>;
  readonly #read = new Map<string, { bytes: Buffer; tag: string }>();

  constructor(folder: string) {
    this.#folder = folder;
    this.#names = new Set(existsSync(folder) ? readdirSync(folder) : []);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  take(name: string): { bytes: Buffer; tag: string } {
    const known = this.#read.get(name);
    if (known) return known;
    const bytes = readFileSync(join(this.#folder, name));
    const file = { bytes, tag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"` };
    this.#read.set(name, file);
    return file;
  }
}

function send(request: FastifyRequest, reply: FastifyReply, shelf: Shelf, name: string, caching: string): unknown {
  const type = TYPES[extname(name)];
  if (type === undefined || !shelf.has(name)) return notThere(reply, name);
  const encoding = encodingFor(request.headers['accept-encoding'], shelf, name);
  const { bytes, tag } = shelf.take(encoding ? name + ENCODINGS[encoding] : name);
  void reply.headers({
    'cache-control': caching,
    vary: [reply.getHeader('vary'), 'accept-encoding'].filter(Boolean).join(', '),
    etag: tag,
  });
  if (request.headers['if-none-match'] === tag) return reply.code(304).send();
  if (encoding) void reply.header('content-encoding', encoding);
  return reply.type(type).send(bytes);
}

function encodingFor(accepted = '', shelf: Shelf, name: string): keyof typeof ENCODINGS | undefined {
  const wanted = accepted.split(',').map((part) => part.trim().toLowerCase());
  const isWanted = (encoding: string) =>
    wanted.some((part) => part.split(';')[0] === encoding && !/;\s*q=0(\.0*)?$/.test(part));
  return (['br', 'gzip'] as const).find((encoding) => isWanted(encoding) && shelf.has(name + ENCODINGS[encoding]));
}

function notThere(reply: FastifyReply, name: string): unknown {
  void reply.removeHeader('content-security-policy');
  if (name !== PAGE_FILE) return reply.callNotFound();
  const message = 'This page is not built: npm run build makes it, npm start does so by itself.';
  return reply.code(404).send({ success: false, message, error: 'NOT_FOUND' });
}
