import type { FastifyRequest } from 'fastify';
import type { Wishes } from './operation.ts';

const BOOKMARK_COOKIE = 'readback-bookmark';
const BOOKMARK_HEADER = 'readback-bookmark';
const CONSISTENCY_HEADER = 'readback-consistency';

/** Every replica has long applied what a browser wrote an hour ago. */
const COOKIE_MAX_AGE_S = 3600;

/** What the request's headers ask for. The header wins over the cookie: whoever sets it knows what it read. */
export function wishesOf(request: FastifyRequest): Wishes {
  const cookie = request.cookies[BOOKMARK_COOKIE];
  return {
    requestId: request.id,
    bookmark: headerOf(request, BOOKMARK_HEADER) ?? cookie,
    consistency: headerOf(request, CONSISTENCY_HEADER),
    browser: { cookie, secure: request.protocol === 'https' },
  };
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** HttpOnly: no script needs it. Lax: it goes along wherever the page itself came from. */
export function bookmarkHeaders(bookmark: string, browser: Wishes['browser']): [string, string][] {
  const header: [string, string] = [BOOKMARK_HEADER, bookmark];
  if (!browser || browser.cookie === bookmark) return [header];
  return [header, ['set-cookie', cookie(bookmark, COOKIE_MAX_AGE_S, browser.secure)]];
}

/** Sent with BAD_BOOKMARK, so that a browser is not stuck with a cookie of a database that is gone. */
export const clearedCookie = (secure: boolean) => cookie('', 0, secure);

function cookie(value: string, maxAgeS: number, secure: boolean): string {
  return `${BOOKMARK_COOKIE}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}
