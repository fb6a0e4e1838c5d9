import { parseCookie } from 'cookie';
import type { FastifyRequest } from 'fastify';
import type { Via } from '../lib/observer.ts';
import type { Wishes } from './operation.ts';

/**
 * What a browser has read, and what it has written. Two cookies, as of two requests that are under way at once the older
 * answer may come last: a read's must not undo what a write has set.
 */
const READ_COOKIE = 'readback-bookmark';
const WRITE_COOKIE = 'readback-write';
const BOOKMARK_HEADER = 'readback-bookmark';
const CONSISTENCY_HEADER = 'readback-consistency';

/** Every replica has long applied what a browser wrote an hour ago. */
const COOKIE_MAX_AGE_S = 3600;

/** What the request's headers ask for. The header wins over the cookies: whoever sets it knows what it read. */
export function wishesOf(request: FastifyRequest, via: Via): Wishes {
  const { [READ_COOKIE]: read, [WRITE_COOKIE]: write } = cookiesOf(request);
  const header = headerOf(request, BOOKMARK_HEADER);
  return {
    requestId: request.id,
    via,
    traceparent: headerOf(request, 'traceparent'),
    address: request.ip,
    authorization: request.headers.authorization,
    bookmarks:
      header === undefined
        ? ([read, write].filter((text) => text !== undefined && text !== '') as string[])
        : listOf(header),
    consistency: headerOf(request, CONSISTENCY_HEADER),
    browser: { read, write, secure: request.protocol === 'https' },
  };
}

const NONE: ReturnType<typeof parseCookie> = {};

const cookiesOf = ({ headers: { cookie } }: FastifyRequest) => (cookie === undefined ? NONE : parseCookie(cookie));

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

/** HttpOnly: no script needs it. Lax: it goes along wherever the page itself came from. */
export function bookmarkHeaders(bookmark: string, browser: Wishes['browser'], hasWritten: boolean): [string, string][] {
  const header: [string, string] = [BOOKMARK_HEADER, bookmark];
  if (!browser || bookmark === (hasWritten ? browser.write : browser.read)) return [header];
  const name = hasWritten ? WRITE_COOKIE : READ_COOKIE;
  return [header, ['set-cookie', cookie(name, bookmark, COOKIE_MAX_AGE_S, browser.secure)]];
}

/** Sent with BAD_BOOKMARK, so that a browser is not stuck with cookies of a database that is gone. */
export const clearedCookies = (secure: boolean) =>
  [READ_COOKIE, WRITE_COOKIE].map((name) => cookie(name, '', 0, secure));

function cookie(name: string, value: string, maxAgeS: number, secure: boolean): string {
  return `${name}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}
