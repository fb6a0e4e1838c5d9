import type { IncomingMessage } from 'node:http';
import proxyaddr from '@fastify/proxy-addr';
import { ClientError } from '../../lib/errors.ts';

/** The same for HTTP and websockets. @throws ClientError FORBIDDEN */
export function checkCaller(request: IncomingMessage, hosts: Hosts, origins: Origins): void {
  hosts.check(request);
  origins.check(request);
}

/** Proxies whose word is taken on where a request came from, and on the host that it was sent to. */
export class Proxies {
  readonly #trust: (address: string, hops: number) => boolean;

  /** Addresses and networks. */
  constructor(trusted: readonly string[]) {
    this.#trust = proxyaddr.compile([...trusted]);
  }

  has(address: string | undefined): boolean {
    return address !== undefined && this.#trust(address, 0);
  }

  /** Empty where the client is gone: a socket that was reset has no address any more. */
  addressOf(request: IncomingMessage): string {
    return proxyaddr(request, this.#trust) ?? '';
  }

  /** What the proxy that connects says, where there is one: each appends its own. */
  forwardedHost({ headers, socket }: IncomingMessage): string | undefined {
    const value = headers['x-forwarded-host'];
    if (value === undefined || !this.has(socket.remoteAddress)) return undefined;
    return String(value).split(',').at(-1)!.trim();
  }
}

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
