import { randomBytes } from 'node:crypto';
import { ClientError } from '../lib/errors.ts';
import { networkOf } from '../lib/network.ts';
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

/** One of them, as it is held: there are many. */
interface Held extends Omit<LiveSubscription, 'since'> {
  sinceMs: number;
  end: () => void;
}

/** The open subscriptions of this server: counted, listed and ended here. */
export class LiveSubscriptions {
  readonly #open = new Map<string, Held>();
  readonly #ofUsers: Counts;
  readonly #ofAddresses: Counts;

  constructor({ perUser, perAddress }: LiveOptions) {
    this.#ofUsers = new Counts(perUser);
    this.#ofAddresses = new Counts(perAddress);
  }

  get size(): number {
    return this.#open.size;
  }

  list(): LiveSubscription[] {
    return [...this.#open.values()].map(({ id, userId, address, operation, sinceMs }) => {
      return { id, userId, address, operation, since: new Date(sinceMs).toISOString() };
    });
  }

  /** Returns how to take it out again. @throws ClientError RATE_LIMITED */
  open({ user }: Viewer, address: string, operation: string | null, end: () => void): () => void {
    // Not a UUID: V8 makes that of a dozen strings, and holds all of them.
    const id = randomBytes(12).toString('base64url');
    const held = { id, userId: user?.id ?? null, address, operation, sinceMs: Date.now(), end };
    this.#ofAddresses.assertRoom(networkOf(address));
    this.#ofUsers.assertRoom(held.userId);
    this.#add(held, 1);
    this.#open.set(id, held);
    return () => {
      if (this.#open.delete(held.id)) this.#add(held, -1);
    };
  }

  /** False: there is none with the id. */
  end(id: string): boolean {
    const found = this.#open.get(id);
    found?.end();
    return found !== undefined;
  }

  #add({ address, userId }: Held, by: number): void {
    this.#ofAddresses.add(networkOf(address), by);
    this.#ofUsers.add(userId, by);
  }
}

/** How many there are of each; of nobody, any number. */
class Counts {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  assertRoom(key: string | null): void {
    if (key === null || (this.#counts.get(key) ?? 0) < this.#most) return;
    throw new ClientError('RATE_LIMITED', `There are ${this.#most} subscriptions open already: end one first.`);
  }

  add(key: string | null, by: number): void {
    if (key === null) return;
    const count = (this.#counts.get(key) ?? 0) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}
