import { randomBytes } from 'node:crypto';
import { ClientError } from '../lib/errors.ts';
import { networkOf } from '../lib/network.ts';
import { spenderOf } from '../lib/spender.ts';
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

/** How many there may be, and rows that an event may read for all of them together; Infinity: no limit. */
export interface LiveOptions {
  /** Of one user, on all of their sockets, or of one network where nobody is signed in. */
  ofOne: Bounds;
  ofNetwork: Bounds;
}

interface Bounds {
  most: number;
  cost: number;
}

/** A subscription that is about to be opened. */
interface Opening {
  viewer: Viewer;
  address: string;
  operation: string | null;
  /** Rows that it may read for each event. */
  cost: number;
}

/** One of them, as it is held: there are many. */
interface Held extends Omit<LiveSubscription, 'since'> {
  sinceMs: number;
  cost: number;
  end: () => void;
}

/** The open subscriptions of this server: counted, listed and ended here. */
export class LiveSubscriptions {
  readonly #open = new Map<string, Held>();
  readonly #ofSpenders: Counts;
  readonly #ofNetworks: Counts;

  constructor({ ofOne, ofNetwork }: LiveOptions) {
    this.#ofSpenders = new Counts(ofOne, 'You');
    this.#ofNetworks = new Counts(ofNetwork, 'Your address');
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
  open({ viewer, address, operation, cost }: Opening, end: () => void): () => void {
    // Not a UUID: V8 makes that of a dozen strings, and holds all of them.
    const id = randomBytes(12).toString('base64url');
    const held = { id, userId: viewer.user?.id ?? null, address, operation, cost, sinceMs: Date.now(), end };
    const [spender, network] = [spenderOf(viewer.user, address), networkOf(address)];
    this.#ofNetworks.assertRoom(network, cost);
    this.#ofSpenders.assertRoom(spender, cost);
    const add = (by: 1 | -1) => {
      this.#ofNetworks.add(network, by, cost);
      this.#ofSpenders.add(spender, by, cost);
    };
    add(1);
    this.#open.set(id, held);
    return () => {
      if (this.#open.delete(id)) add(-1);
    };
  }

  /** False: there is none with the id. */
  end(id: string): boolean {
    const found = this.#open.get(id);
    found?.end();
    return found !== undefined;
  }
}

interface Sum {
  count: number;
  cost: number;
}

/** How many there are of each, and what they come to. */
class Counts {
  readonly #bounds: Bounds;
  readonly #whose: string;
  readonly #sums = new Map<string, Sum>();

  constructor(bounds: Bounds, whose: string) {
    this.#bounds = bounds;
    this.#whose = whose;
  }

  assertRoom(key: string, asked: number): void {
    const { count, cost } = this.#sums.get(key) ?? { count: 0, cost: 0 };
    const { most, cost: mostCost } = this.#bounds;
    if (count >= most)
      throw new ClientError('RATE_LIMITED', `There are ${most} subscriptions open already: end one first.`);
    if (cost + asked > mostCost) throw tooDear(this.#whose, { cost, asked, mostCost });
  }

  add(key: string, by: 1 | -1, cost: number): void {
    const sum = this.#sums.get(key) ?? { count: 0, cost: 0 };
    const next = { count: sum.count + by, cost: sum.cost + by * cost };
    if (next.count === 0) this.#sums.delete(key);
    else this.#sums.set(key, next);
  }
}

const tooDear = (whose: string, { cost, asked, mostCost }: Record<'cost' | 'asked' | 'mostCost', number>) =>
  new ClientError(
    'RATE_LIMITED',
    `${whose} may have subscriptions that read ${mostCost} rows for an event, all together: those that are open may read ${cost}, and this one ${asked}. End one first, or ask for less.`,
  );
