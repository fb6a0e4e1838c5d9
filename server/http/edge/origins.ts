import type { IncomingMessage } from 'node:http';
import { ClientError } from '../../lib/errors.ts';
import type { Hosts } from './hosts.ts';

/** Whose pages may call the server from a browser, over HTTP and websockets: its own may always. */
export class Origins {
  readonly isAny: boolean;
  readonly #listed: ReadonlySet<string>;
  readonly #hosts: Hosts;

  constructor(listed: '*' | readonly string[], hosts: Hosts) {
    this.isAny = listed === '*';
    this.#listed = new Set(listed === '*' ? [] : listed.map((origin) => origin.toLowerCase()));
    this.#hosts = hosts;
  }

  /** @throws ClientError FORBIDDEN where a browser says that the request comes from the page of somebody else. */
  check(request: IncomingMessage): void {
    const { origin } = request.headers;
    if (origin === undefined || this.allows(origin, request)) return;
    throw new ClientError('FORBIDDEN', foreign(origin.slice(0, 100)));
  }

  allows(origin: string, request: IncomingMessage): boolean {
    return this.isAny || this.#listed.has(origin.toLowerCase()) || this.#isOwn(origin, request);
  }

  /** A proxy may give the server another host than the browser knows it by: browsers say themselves that it is the same. */
  #isOwn(origin: string, request: IncomingMessage): boolean {
    if (request.headers['sec-fetch-site'] === 'same-origin') return true;
    if (!URL.canParse(origin)) return false;
    const { protocol, host } = new URL(origin);
    return this.#hosts.of(request).some((own) => isSame(host, `${protocol}//${own}`));
  }
}

/** Browsers leave the port of the scheme out; some proxies name it. */
const isSame = (host: string, own: string) => URL.canParse(own) && new URL(own).host === host;

const foreign = (origin: string) =>
  `Pages of ${origin} may not call this server: its own pages may, and those of the origins in CORS_ORIGINS.`;
