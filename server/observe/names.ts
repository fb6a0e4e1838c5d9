import { LRUCache } from 'lru-cache';

const MOST = 200;
const LONGEST = 100;

/**
 * Names that clients gave their operations, as labels. There are only so many at a time, as whoever sends documents can
 * make up any number: the one that was met least lately goes, and what was counted of it.
 */
export class Names {
  readonly #known: LRUCache<string, true>;

  constructor(gone: (name: string) => void) {
    this.#known = new LRUCache({ max: MOST, dispose: (_, name, why) => why === 'evict' && gone(name) });
  }

  /** `anonymous` without one; `other` for what is no reasonable name. */
  label(name: string | undefined): string {
    if (name === undefined) return 'anonymous';
    if (name.length > LONGEST) return 'other';
    this.#known.set(name, true);
    return name;
  }
}
