import { randomUUID } from 'node:crypto';
import { ClientError } from '../lib/errors.ts';
import type { Viewer } from './viewer.ts';

/** A subscription that is open on some websocket of this server. */
export interface LiveSubscription {
  id: string;
  userId: string | null;
  address: string;
  /** The name that the client gave the operation. */
  operation: string | null;
  since: string;
}

export interface LiveOptions {
  /** Of one user, on all of their sockets; Infinity: no limit. */
  perUser: number;
  perAddress: number;
}

/** The open subscriptions of this server: counted, listed and ended here. */
export class LiveSubscriptions {
  readonly #options: LiveOptions;
  readonly #open = new Map<string, { subscription: LiveSubscription; end: () => void }>();
  readonly #counts = new Map<string, number>();

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  list(): LiveSubscription[] {
    return [...this.#open.values()].map(({ subscription }) => subscription);
  }

  /** Returns how to take it out again. @throws ClientError RATE_LIMITED */
  open({ user }: Viewer, address: string, operation: string | null, end: () => void): () => void {
    const keys = [`address ${address}`, ...(user ? [`user ${user.id}`] : [])];
    for (const key of keys) this.#assertRoom(key);
    for (const key of keys) this.#count(key, 1);
    const id = randomUUID();
    const since = new Date().toISOString();
    this.#open.set(id, { subscription: { id, userId: user?.id ?? null, address, operation, since }, end });
    return () => {
      if (!this.#open.delete(id)) return;
      for (const key of keys) this.#count(key, -1);
    };
  }

  /** False: there is none with the id. */
  end(id: string): boolean {
    const found = this.#open.get(id);
    found?.end();
    return found !== undefined;
  }

  #assertRoom(key: string): void {
    const most = key.startsWith('user') ? this.#options.perUser : this.#options.perAddress;
    if ((this.#counts.get(key) ?? 0) < most) return;
    throw new ClientError('RATE_LIMITED', `There are ${most} subscriptions open already: end one first.`);
  }

  #count(key: string, by: number): void {
    const count = (this.#counts.get(key) ?? 0) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}
