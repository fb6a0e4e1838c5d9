import type { FastifyRequest } from 'fastify';
import type { Via } from '../lib/observer.ts';
import { browserOf, setCookie, type Browser } from './bookmark-cookies.ts';
import type { Wishes } from './operation.ts';

const BOOKMARK_HEADER = 'readback-bookmark';
const CONSISTENCY_HEADER = 'readback-consistency';

/** What the request's headers ask for. The header wins over the cookies: whoever sets it knows what it read. */
export function wishesOf(request: FastifyRequest, via: Via): Wishes {
  const header = headerOf(request, BOOKMARK_HEADER);
  return {
    requestId: request.id,
    via,
    traceparent: headerOf(request, 'traceparent'),
    address: request.ip,
    authorization: request.headers.authorization,
    bookmarks: header === undefined ? undefined : listOf(header),
    consistency: headerOf(request, CONSISTENCY_HEADER),
    browser: browserOf(request),
  };
}

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

export function bookmarkHeaders(
  bookmark: string,
  browser: Browser | undefined,
  hasWritten: boolean,
): [string, string][] {
  const header: [string, string] = [BOOKMARK_HEADER, bookmark];
  const cookie = browser && setCookie(bookmark, browser, hasWritten);
  return cookie === undefined ? [header] : [header, ['set-cookie', cookie]];
}
