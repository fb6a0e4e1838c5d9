import { hash, verify } from 'argon2';
import { ClientError } from './errors.ts';

/** argon2id at OWASP's parameters: 19 MiB, two passes, one lane. */
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Of a password that nobody has, at the parameters above: who is not there takes as long as who is. */
const NOBODYS = '$argon2id$v=19$m=19456,p=1,t=2$YM+GwCbeVOk8BHKd6WecLQ$jyOAQtni6GoRWsLBR9wZvz9zbX3o2NoXjjQtvo9rOX8';

/** One form of what looks the same and is typed differently, as RFC 8265 has it for passwords. */
const normalised = (password: string) => password.normalize('NFC').replace(/\p{Zs}/gu, ' ');

/** A hash in full: what is cut off is compared with little, and in no time. Parameters may be others than ours, within reason. */
const WHOLE = /^\$argon2(?:id|i|d)\$v=\d{1,3}\$(?:[mtp]=\d{1,7}(?:,(?!\$)|(?=\$))){3}\$[\w+/-]{11,}\$[\w+/-]{22,}$/;

async function isOf(hashed: string | undefined, password: string): Promise<boolean> {
  try {
    if (hashed !== undefined && WHOLE.test(hashed)) return await verify(hashed, password);
  } catch {
    // A hash that is damaged is nobody's.
  }
  await verify(NOBODYS, password);
  return false;
}

/** Hashes a bounded number of passwords at once, so that sign-ups and sign-ins leave processor time for everyone else. */
export class Hasher {
  readonly #concurrency: number;
  readonly #mostWaiting: number;
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(concurrency: number, mostWaiting: number) {
    this.#concurrency = concurrency;
    this.#mostWaiting = mostWaiting;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws ClientError RATE_LIMITED, at once, where too many wait already. */
  hash(password: string): Promise<string> {
    return this.#inTurn(() => hash(normalised(password), PARAMETERS));
  }

  /**
   * Whether the hash is the password's; without a hash, or with one that is none, false after the same work. Hashes that
   * were made before passwords were normalised are of what was typed.
   * @throws ClientError RATE_LIMITED, at once, where too many wait already.
   */
  verify(hashed: string | undefined, password: string): Promise<boolean> {
    const forms = [...new Set([normalised(password), password])];
    return this.#inTurn(async () => {
      for (const form of forms) if (await isOf(hashed, form)) return true;
      return false;
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    await this.#acquire();
    try {
      return await work();
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
