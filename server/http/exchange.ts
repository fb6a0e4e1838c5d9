import { parseCookie } from 'cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { asClientError } from '../lib/errors.ts';
import { parseExactly } from '../lib/exact-json.ts';
import type { Via } from '../lib/observer.ts';
import type { Operation, Operations, RequestOptions } from '../graphql/operation.ts';
import type { Outcome } from '../graphql/pipeline.ts';
import { clusterOf } from '../replication/bookmark.ts';

const BOOKMARK_HEADER = 'readback-bookmark';
const CONSISTENCY_HEADER = 'readback-consistency';

/** Begins an operation as a request's headers ask for. Who hangs up does not wait for its answer. @throws as Operations.begin */
export async function begin(
  operations: Operations,
  request: FastifyRequest,
  reply: FastifyReply,
  via: Via,
): Promise<Operation> {
  try {
    const operation = await operations.begin(optionsOf(request, via));
    reply.raw.once('close', () => reply.raw.writableFinished || operation.abandon());
    return operation;
  } catch (error) {
    if (asClientError(error)?.code === 'BAD_BOOKMARK') void reply.header('set-cookie', clearedCookies(request));
    throw error;
  }
}

/** The header wins over the cookies: whoever sets it knows what it read. */
function optionsOf(request: FastifyRequest, via: Via): RequestOptions {
  const header = headerOf(request, BOOKMARK_HEADER);
  return {
    requestId: request.id,
    via,
    traceparent: headerOf(request, 'traceparent'),
    address: request.ip,
    authorization: request.headers.authorization,
    bookmarks: header === undefined ? bookmarksIn(cookiesOf(request)) : listOf(header),
    consistency: headerOf(request, CONSISTENCY_HEADER),
  };
}

/** The variables of a request, with all digits of their numbers. */
export const exactly =
  ({ method, query, text }: FastifyRequest) =>
  () =>
    method === 'POST'
      ? (parseExactly(text) as { variables?: unknown }).variables
      : parseExactly((query as { variables: string }).variables);

/** Several, separated by commas: the greatest counts. For clients that have requests under way at once. */
export const listOf = (text: string) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The headers that an answer has for what its operation came to. */
export function addHeaders(request: FastifyRequest, reply: FastifyReply, outcome: Outcome): void {
  const { bookmark, hasWritten, retryAfter } = outcome;
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  if (bookmark === undefined) return;
  void reply.header(BOOKMARK_HEADER, bookmark);
  const cookie = setCookie(request, bookmark, hasWritten);
  if (cookie !== undefined) void reply.header('set-cookie', cookie);
}

/**
 * What a browser has read, and what it has written. Two cookies, as of two requests that are under way at once the older
 * answer may come last: a read's must not undo what a write has set.
 */
const READ_COOKIE = 'readback-bookmark';
const WRITE_COOKIE = 'readback-write';
/** With the cluster at its end where servers of another one have taken the name: cookies know no ports. */
const OURS = /^readback-(?:bookmark|write)(?:-[0-9a-z]{1,13})?$/;

/** Every replica has long applied what a browser wrote an hour ago. */
const COOKIE_MAX_AGE_S = 3600;

/** Those that are ours, or of a server like this one. */
type Cookies = Readonly<Record<string, string | undefined>>;

const NONE: Cookies = {};

function cookiesOf({ headers: { cookie } }: FastifyRequest): Cookies {
  if (!cookie?.includes('readback-')) return NONE;
  return Object.fromEntries(Object.entries(parseCookie(cookie)).filter(([name, value]) => OURS.test(name) && value));
}

/** The bookmarks in them that are not another cluster's, and what is no bookmark at all. */
function bookmarksIn(cookies: Cookies): RequestOptions['bookmarks'] {
  if (Object.keys(cookies).length === 0) return undefined;
  return (cluster) => {
    const names = [READ_COOKIE, WRITE_COOKIE].flatMap((name) => [name, ofCluster(name, cluster)]);
    const texts = names.map((name) => cookies[name]).filter((text) => text !== undefined);
    return texts.filter((text) => !isForeign(text, cluster));
  };
}

/** Undefined where the browser has it already. */
function setCookie(request: FastifyRequest, bookmark: string, hasWritten: boolean): string | undefined {
  const cookies = cookiesOf(request);
  const name = nameFor(hasWritten ? WRITE_COOKIE : READ_COOKIE, cookies, clusterOf(bookmark)!);
  return bookmark === cookies[name] ? undefined : cookie(request, name, bookmark, COOKIE_MAX_AGE_S);
}

/** Sent with BAD_BOOKMARK, so that a browser is not stuck with cookies of a database that is gone. */
function clearedCookies(request: FastifyRequest): string[] {
  const names = new Set([READ_COOKIE, WRITE_COOKIE, ...Object.keys(cookiesOf(request))]);
  return Array.from(names, (name) => cookie(request, name, '', 0));
}

/** Another cluster's bookmark stays where it is. */
const nameFor = (name: string, cookies: Cookies, cluster: bigint) =>
  isForeign(cookies[name] ?? '', cluster) ? ofCluster(name, cluster) : name;

const ofCluster = (name: string, cluster: bigint) => `${name}-${cluster.toString(36)}`;

function isForeign(text: string, cluster: bigint): boolean {
  const of = clusterOf(text);
  return of !== undefined && of !== cluster;
}

/** HttpOnly: no script needs it. Lax: it goes along wherever the page itself came from. */
function cookie({ protocol }: FastifyRequest, name: string, value: string, maxAgeS: number): string {
  const secure = protocol === 'https' ? '; Secure' : '';
  return `${name}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure}`;
}
