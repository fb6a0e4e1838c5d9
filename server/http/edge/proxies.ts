import type { IncomingMessage } from 'node:http';
import proxyaddr from '@fastify/proxy-addr';

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
    return (proxyaddr(request, this.#trust) as string | undefined) ?? '';
  }

  /** What the proxy that connects says, where there is one: each appends its own. */
  forwardedHost({ headers, socket }: IncomingMessage): string | undefined {
    const value = headers['x-forwarded-host'];
    if (value === undefined || !this.has(socket.remoteAddress)) return undefined;
    return String(value).split(',').at(-1)!.trim();
  }
}
