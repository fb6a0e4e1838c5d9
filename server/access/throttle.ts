import { setTimeout as sleep } from 'node:timers/promises';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { ClientError } from '../lib/errors.ts';

const HOLD_MS = 1000;
/** So that memory is bounded too. */
const MOST_HELD = 10_000;

export interface ThrottleOptions {
  /** Wrong sign-ins to one account from one address, until it has to wait. */
  failuresPerAccount: number;
  /** And to all accounts together. */
  failuresPerAddress: number;
  windowMs: number;
}

/**
 * Slows guessing down. What is counted is the account and the address together: from wherever somebody guesses, its
 * owner can sign in from elsewhere. An attempt counts before its password is looked at, or many at once would all pass.
 */
export class Throttle {
  readonly #ofAccount: RateLimiterMemory;
  readonly #ofAddress: RateLimiterMemory;
  #held = 0;

  constructor({ failuresPerAccount, failuresPerAddress, windowMs }: ThrottleOptions) {
    const duration = windowMs / 1000;
    this.#ofAccount = new RateLimiterMemory({ keyPrefix: 'account', points: failuresPerAccount, duration });
    this.#ofAddress = new RateLimiterMemory({ keyPrefix: 'address', points: failuresPerAddress, duration });
  }

  /** Runs one attempt. @throws ClientError RATE_LIMITED where too many have failed. */
  async attempt<T>(account: string, address: string, work: () => Promise<T | undefined>): Promise<T | undefined> {
    const pair = `${address} ${account}`;
    try {
      await consume(this.#ofAccount, pair);
      await consume(this.#ofAddress, address);
    } catch (refusal) {
      await this.#hold();
      throw refusal;
    }
    const result = await work();
    if (result === undefined) return undefined;
    await this.#ofAccount.delete(pair);
    await this.#ofAddress.reward(address);
    return result;
  }

  /**
   * A hundred connections that are answered at once ask again at once, and are always a hundred ahead of everybody else
   * in the event loop. Answered after a second, they are a hundred a second.
   */
  async #hold(): Promise<void> {
    if (this.#held >= MOST_HELD) return;
    this.#held++;
    await sleep(HOLD_MS);
    this.#held--;
  }
}

/** @throws ClientError RATE_LIMITED */
export async function consume(limiter: RateLimiterMemory, key: string): Promise<void> {
  try {
    await limiter.consume(key);
  } catch (refusal) {
    if (!(refusal instanceof RateLimiterRes)) throw refusal;
    throw rateLimited(refusal.msBeforeNext);
  }
}

function rateLimited(waitMs: number): ClientError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new ClientError('RATE_LIMITED', `Too many at once: try again in ${seconds} s.`);
}
