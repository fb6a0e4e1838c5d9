import type { IncomingMessage, ServerResponse } from 'node:http';
import helmet, { type HelmetOptions } from 'helmet';

/**
 * For answers over TLS alone, as a header that anybody could have set would say so for a name that has none. Of the names
 * below this one the server knows nothing.
 */
export const strictTransport = (hasSubdomains: boolean) => (hasSubdomains ? WITH_SUBDOMAINS : THIS_NAME);

const YEAR = 'max-age=31536000';
const THIS_NAME = { 'strict-transport-security': YEAR };
const WITH_SUBDOMAINS = { 'strict-transport-security': `${YEAR}; includeSubDomains` };

/** What helmet sets, worked out once: it is the same for every answer. */
function headersOf(options: HelmetOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  const response = { setHeader: (name: string, value: string) => (headers[name] = value), removeHeader: () => {} };
  helmet(options)({} as IncomingMessage, response as unknown as ServerResponse, () => {});
  delete headers['Strict-Transport-Security'];
  return headers;
}

/**
 * Data: a browser that takes it for a page loads and runs nothing. Without what only documents heed. Answers depend on who
 * asks and on what they have read, by a token and cookies: nobody keeps them for others.
 */
export const DATA_HEADERS: Record<string, string> = {
  'cache-control': 'private, no-store',
  ...headersOf({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    crossOriginOpenerPolicy: false,
    crossOriginResourcePolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xFrameOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  }),
};

/** Pages, apart from their policies. */
export const PAGE_HEADERS = headersOf({ contentSecurityPolicy: false, crossOriginResourcePolicy: false });

/** Apollo's page says by itself which scripts and frames it needs, with a nonce for each that it has: the rest is said here. */
export const SANDBOX_HEADERS = headersOf({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ['*', "'unsafe-inline'", 'data:', 'blob:', 'ws:', 'wss:'],
      objectSrc: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  crossOriginResourcePolicy: false,
});
