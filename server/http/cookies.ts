import { parseCookie } from 'cookie';
import type { FastifyRequest } from 'fastify';
import type { Bookmarks } from '../graphql/positions.ts';
import { clusterOf } from '../replication/bookmark.ts';

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

/** The bookmarks in a request's cookies that are not another cluster's, and what is no bookmark at all. */
export function bookmarksIn(request: FastifyRequest): Bookmarks | undefined {
  const cookies = cookiesOf(request);
  if (Object.keys(cookies).length === 0) return undefined;
  return (cluster) => {
    const names = [READ_COOKIE, WRITE_COOKIE].flatMap((name) => [name, ofCluster(name, cluster)]);
    const texts = names.map((name) => cookies[name]).filter((text) => text !== undefined);
    return texts.filter((text) => !isForeign(text, cluster));
  };
}

/** Undefined where the browser has it already. */
export function setCookie(request: FastifyRequest, bookmark: string, hasWritten: boolean): string | undefined {
  const cookies = cookiesOf(request);
  const name = nameFor(hasWritten ? WRITE_COOKIE : READ_COOKIE, cookies, clusterOf(bookmark)!);
  return bookmark === cookies[name] ? undefined : cookie(request, name, bookmark, COOKIE_MAX_AGE_S);
}

/** Sent with BAD_BOOKMARK, so that a browser is not stuck with cookies of a database that is gone. */
export function clearedCookies(request: FastifyRequest): string[] {
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
