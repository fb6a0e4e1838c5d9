import type { Sql } from '../database/connect.ts';
import { forClient } from '../database/errors.ts';
import type { Complain } from '../lib/complaints.ts';
import { shared } from '../lib/shared.ts';
import { addSigningKey, removeSigningKeys, signingKeys, type SigningKey } from '../database/sql/keys.ts';

export interface KeyOptions {
  /** Of the primary, as readback_writer. */
  writer: Sql;
  /** A key signs for so long. */
  rotationMs: number;
  /** And is kept for so long besides, for the tokens that it has signed. */
  tokenTtlMs: number;
  complain: Complain;
}

const NOT_READ = 'The keys that sign tokens could not be read again: those known stay good.';

interface Key extends SigningKey {
  /** By this process's clock. */
  bornAtMs: number;
}

/** So often the keys are read again while they are in use: one that an operator deletes is good no longer than this. */
const FRESH_MS = 60_000;
/** An id that nobody knows makes the keys be read again, at most so often. */
const LOOK_AGAIN_MS = 1000;

/** The keys that sign tokens: all servers share them, through a table of the primary that is not published. */
export class SigningKeys {
  readonly #options: KeyOptions;
  #keys = new Map<string, Key>();
  #readAtMs = -Infinity;

  constructor(options: KeyOptions) {
    this.#options = options;
  }

  /** The key to sign with. Two servers that find none at once each make one: both are good. */
  async current(): Promise<SigningKey> {
    if (this.#ageMs >= FRESH_MS) await this.#read();
    return this.#young() ?? this.#rotate();
  }

  /** Undefined: there is none with the id, or no more. While the primary is away, those known stay good. */
  async byId(id: string): Promise<Uint8Array | undefined> {
    if (!this.#keys.has(id) && this.#ageMs >= LOOK_AGAIN_MS) await this.#read();
    else if (this.#ageMs >= FRESH_MS) void this.#read().catch(this.#unread);
    return this.#keys.get(id)?.secret;
  }

  get #ageMs(): number {
    return performance.now() - this.#readAtMs;
  }

  #young(): Key | undefined {
    const oldest = performance.now() - this.#options.rotationMs;
    return [...this.#keys.values()].find(({ bornAtMs }) => bornAtMs > oldest);
  }

  readonly #read = shared(async (): Promise<void> => {
    const keys = await signingKeys(this.#options.writer).catch((error: unknown) => {
      throw forClient(error, 'PRIMARY');
    });
    this.#keys = new Map(keys.map((key) => [key.id, born(key)]));
    this.#readAtMs = performance.now();
  });

  readonly #unread = (error: unknown): void => this.#options.complain(error, NOT_READ);

  readonly #rotate = shared(async (): Promise<Key> => {
    const { writer, rotationMs, tokenTtlMs } = this.#options;
    const young = this.#young();
    if (young) return young;
    try {
      await removeSigningKeys(writer, rotationMs + tokenTtlMs);
      const key = born(await addSigningKey(writer));
      this.#keys = new Map([[key.id, key], ...this.#keys]);
      return key;
    } catch (error) {
      throw forClient(error, 'PRIMARY');
    }
  });
}

const born = (key: SigningKey): Key => ({ ...key, bornAtMs: performance.now() - key.ageMs });
