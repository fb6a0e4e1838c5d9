import { hash, verify } from 'argon2';
import { ClientError } from './errors.ts';
import { Turns } from './turns.ts';

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

/** For whom a password is hashed. */
export interface HashFor {
  spender: string;
  /** Aborts when nobody waits for it any more. */
  signal?: AbortSignal;
}

const OPERATORS: HashFor = { spender: '' };

/**
 * Hashes a bounded number of passwords at once, so that sign-ups and sign-ins leave processor time for everyone else. Those
 * who ask take turns: whoever sends many does not make another's sign-in wait for all of them.
 */
export class Hasher {
  readonly #turns: Turns;

  /** `mostOfOne`: at once for one who asks. */
  constructor(concurrency: number, mostWaiting: number, mostOfOne = concurrency) {
    const refused = () =>
      new ClientError(
        'RATE_LIMITED',
        `${mostWaiting} passwords wait to be hashed, which is the most: try again in 2 s.`,
        {
          retryAfterS: 2,
        },
      );
    this.#turns = new Turns({ most: concurrency, mostOfOne, mostWaiting, refused });
  }

  get running(): number {
    return this.#turns.running;
  }

  get waiting(): number {
    return this.#turns.waiting;
  }

  /** @throws ClientError RATE_LIMITED, at once, where too many wait already. */
  hash(password: string, { spender, signal } = OPERATORS): Promise<string> {
    return this.#turns.run(spender, signal, () => hash(normalised(password), PARAMETERS));
  }

  /**
   * Whether the hash is the password's; without a hash, or with one that is none, false after the same work. Hashes that
   * were made before passwords were normalised are of what was typed.
   * @throws ClientError RATE_LIMITED, at once, where too many wait already.
   */
  verify(hashed: string | undefined, password: string, { spender, signal } = OPERATORS): Promise<boolean> {
    const forms = [...new Set([normalised(password), password])];
    return this.#turns.run(spender, signal, async () => {
      for (const form of forms) if (await isOf(hashed, form)) return true;
      return false;
    });
  }
}
