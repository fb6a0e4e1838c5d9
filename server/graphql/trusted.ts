import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { ClientError, SetupError } from '../lib/errors.ts';

const form = z.record(z.string(), z.string());

/** The documents that alone are run, where the operator has named a file of them. */
export class TrustedDocuments {
  readonly #byHash: Map<string, string>;
  readonly #texts: Set<string>;

  /** `documents` by their hashes, as codegen's persisted operations have them. */
  constructor(documents: Readonly<Record<string, string>>) {
    this.#byHash = new Map(Object.entries(documents));
    for (const text of Object.values(documents)) this.#byHash.set(sha256(text), text);
    this.#texts = new Set(this.#byHash.values());
  }

  /** The text of a document that was sent as text, or by its hash. @throws ClientError FORBIDDEN where it is none of them. */
  admit(text: string, hash: unknown): string {
    const known = text === '' && typeof hash === 'string' ? this.#byHash.get(hash) : text;
    if (known !== undefined && this.#texts.has(known)) return known;
    throw new ClientError(
      'FORBIDDEN',
      'This server runs the documents alone that it was given with TRUSTED_DOCUMENTS.',
    );
  }

  /** As Apollo looks up a persisted query; none can be added. */
  get cache() {
    return {
      get: (key: string) => Promise.resolve(this.#byHash.get(key.replace(/^apq:/, ''))),
      set: () => Promise.resolve(),
      delete: () => Promise.resolve(false),
    };
  }
}

/** @throws SetupError where the file cannot be read. */
export function readTrustedDocuments(file: string): TrustedDocuments {
  try {
    return new TrustedDocuments(form.parse(JSON.parse(readFileSync(file, 'utf8'))));
  } catch (error) {
    const reason =
      error instanceof z.ZodError ? 'it is no JSON object of texts by their hashes' : (error as Error).message;
    throw new SetupError(`TRUSTED_DOCUMENTS cannot be used: ${reason}`);
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
