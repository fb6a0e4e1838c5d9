import type { IncomingMessage } from 'node:http';
import { ClientError } from '../../lib/errors.ts';
import type { Proxies } from './proxies.ts';

/**
 * The names under which the server answers. A page whose name its owner points at this machine (DNS rebinding) counts in
 * a browser as a page of this server, so where no token is asked for, only the name in the request tells the two apart.
 */
export class Hosts {
  readonly #allowed: ReadonlySet<string> | undefined;
  readonly #proxies: Proxies;

  /** `allowed` beside those of the loopback; undefined: any. */
  constructor(allowed: readonly string[] | undefined, proxies: Proxies) {
    this.#allowed = allowed && new Set(allowed.map((name) => nameOf(name)!));
    this.#proxies = proxies;
  }

  /** What the request says it is for, and what a proxy says besides: a page can set the second, not the first. */
  of(request: IncomingMessage): string[] {
    const { headers, url = '' } = request;
    const absolute = url.startsWith('/') ? undefined : authorityOf(url);
    return [headers.host, absolute, this.#proxies.forwardedHost(request)].filter((host) => host !== undefined);
  }

  /** @throws ClientError FORBIDDEN */
  check(request: IncomingMessage): void {
    if (this.#allowed === undefined) return;
    const other = this.of(request).find((host) => !this.#answers(host));
    if (other !== undefined) throw new ClientError('FORBIDDEN', unknownHost(other.slice(0, 100)));
  }

  #answers(host: string): boolean {
    const name = nameOf(host);
    return name !== undefined && (LOOPBACK.test(name) || this.#allowed!.has(name));
  }
}

const LOOPBACK = /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
const HOST = /^(\[[0-9a-f:.]+\]|[^:/?#@[\]\s]+?)\.?(?::\d*)?$/;

/** Without the port; undefined: it is none. */
const nameOf = (host: string) => HOST.exec(host.toLowerCase())?.[1];

/** Of a request in the form that proxies are sent, `GET http://host/path`. */
const authorityOf = (url: string) => /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url)?.[1];

const unknownHost = (host: string) =>
  `This server answers under localhost and the names in ALLOWED_HOSTS, and the request is for "${host}": add that ` +
  'to ALLOWED_HOSTS if it is a name of this server.';
