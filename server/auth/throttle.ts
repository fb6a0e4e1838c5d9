import { LRUCache } from 'lru-cache';
import { ClientError } from '../lib/errors.ts';
import { Hold } from '../lib/hold.ts';
import { networkOf } from '../lib/network.ts';

/** Accounts and networks that are counted at once: about 10 MB of each. Those that were met least lately are forgotten. */
const MOST_COUNTED = 50_000;
/** From where too many guesses come, one is let through in this time: who shares an address with others gets in. */
const TRICKLE_MS = 1000;

export interface ThrottleOptions {
  /** Wrong sign-ins to one account from one network, until it has to wait. */
  failuresPerAccount: number;
  /** And to all accounts together. */
  failuresPerAddress: number;
  /** Sign-ups from one network, and other questions that tell whether a name or an address of email is taken. */
  signUpsPerAddress: number;
  windowMs: number;
}

/** What a guess is about: an account, by whatever name it was called, and the look at the password. */
export interface Guess<T> {
  account: string;
  check: () => Promise<T | undefined>;
}

/**
 * Slows guessing down. What is counted is the account and the network together: from wherever somebody guesses, its
 * owner can sign in from elsewhere, and from where they have before. An attempt counts before its password is looked at,
 * or many at once would all pass.
 */
export class Throttle {
  readonly #ofAccount: Windows;
  readonly #ofNetwork: Windows;
  readonly #trickle = new Windows(1, TRICKLE_MS);
  readonly #signUps: Windows;
  /** Accounts that somebody has signed in to from that network. */
  readonly #good = new LRUCache<string, true>({ max: MOST_COUNTED });
  readonly #hold = new Hold();

  constructor({ failuresPerAccount, failuresPerAddress, signUpsPerAddress, windowMs }: ThrottleOptions) {
    this.#ofAccount = new Windows(failuresPerAccount, windowMs);
    this.#ofNetwork = new Windows(failuresPerAddress, windowMs);
    this.#signUps = new Windows(signUpsPerAddress, windowMs);
  }

  /** Runs one attempt. @throws ClientError RATE_LIMITED where too many have failed. */
  async attempt<T>(address: string, { account, check }: Guess<T>): Promise<T | undefined> {
    const network = networkOf(address);
    const pair = `${network} ${account}`;
    const { waitMs, isCounted } = this.#take(network, pair);
    await this.#pass(waitMs);
    let result: T | undefined;
    try {
      result = await check();
    } catch (error) {
      // Nobody has looked at the password.
      this.#ofAccount.giveBack(pair);
      if (isCounted) this.#ofNetwork.giveBack(network);
      throw error;
    }
    if (result === undefined) return undefined;
    this.#ofAccount.forget(pair);
    if (isCounted) this.#ofNetwork.giveBack(network);
    this.#good.set(pair, true);
    return result;
  }

  /**
   * How long there is no room for one more attempt, and whether it counts for its network. Nothing is kept of an account
   * before its network may ask at all: who made up names would fill the memory.
   */
  #take(network: string, pair: string): { waitMs: number; isCounted: boolean } {
    const waitMs = this.#ofAccount.waitMs(pair);
    if (waitMs > 0) return { waitMs, isCounted: false };
    const isGood = this.#good.has(pair);
    const isCounted = !isGood && this.#ofNetwork.take(network);
    if (!isGood && !isCounted && !this.#trickle.take(network))
      return { waitMs: this.#ofNetwork.waitMs(network), isCounted };
    this.#ofAccount.take(pair);
    return { waitMs: 0, isCounted };
  }

  /** Counts a sign-up. @throws ClientError RATE_LIMITED */
  async signUp(address: string): Promise<void> {
    const network = networkOf(address);
    if (!this.#signUps.take(network)) await this.#pass(this.#signUps.waitMs(network));
  }

  /** Counts what tells that a name is taken, and nothing else. @throws ClientError RATE_LIMITED */
  async asking<T>(address: string, work: () => Promise<T>): Promise<T> {
    const network = networkOf(address);
    await this.signUp(address);
    const giveBack = () => this.#signUps.giveBack(network);
    try {
      const done = await work();
      giveBack();
      return done;
    } catch (error) {
      if (!(error instanceof ClientError && error.code === 'CONFLICT')) giveBack();
      throw error;
    }
  }

  async #pass(waitMs: number): Promise<void> {
    if (waitMs <= 0) return;
    await this.#hold.wait();
    throw rateLimited(waitMs);
  }
}

interface Window {
  count: number;
  untilMs: number;
}

/** So many of each key in a time, which begins with the first. */
class Windows {
  readonly #most: number;
  readonly #ms: number;
  readonly #open = new LRUCache<string, Window>({ max: MOST_COUNTED });

  constructor(most: number, ms: number) {
    this.#most = most;
    this.#ms = ms;
  }

  /** How long there is no room for one more; 0: there is. */
  waitMs(key: string): number {
    const window = this.#current(key);
    return window && window.count >= this.#most ? window.untilMs - performance.now() : 0;
  }

  /** False: there is no room. */
  take(key: string): boolean {
    const window = this.#current(key) ?? { count: 0, untilMs: performance.now() + this.#ms };
    if (window.count >= this.#most) return false;
    window.count++;
    this.#open.set(key, window);
    return true;
  }

  giveBack(key: string): void {
    const window = this.#current(key);
    if (window && window.count > 0) window.count--;
  }

  forget(key: string): void {
    this.#open.delete(key);
  }

  #current(key: string): Window | undefined {
    const window = this.#open.get(key);
    return window && window.untilMs > performance.now() ? window : undefined;
  }
}

function rateLimited(waitMs: number): ClientError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new ClientError('RATE_LIMITED', `Too many at once: try again in ${seconds} s.`, { retryAfterS: seconds });
}
