import { hash } from 'argon2';
import { ClientError } from './errors.ts';

/** argon2id at OWASP's parameters: 19 MiB, two passes, one lane. */
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Hashes a bounded number of passwords at once, so that sign-ups leave processor time for everyone else. */
export class Hasher {
  readonly #concurrency: number;
  readonly #mostWaiting: number;
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(concurrency: number, mostWaiting: number) {
    this.#concurrency = concurrency;
    this.#mostWaiting = mostWaiting;
  }

  /** @throws ClientError RATE_LIMITED, at once, where too many wait already. */
  async hash(password: string): Promise<string> {
    await this.#acquire();
    try {
      return await hash(password, PARAMETERS);
    } finally {
      this.#release();
    }
  }

  async #acquire(): Promise<void> {
    if (this.#running < this.#concurrency) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= this.#mostWaiting) {
      throw new ClientError('RATE_LIMITED', 'Too many passwords are being hashed now: try again in a few seconds.');
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** A waiter takes over the place, which stays counted. */
  #release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running--;
  }
}
