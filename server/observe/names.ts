const MOST = 200;
const LONGEST = 100;

/**
 * Names that clients gave their operations, as labels. There are only so many: each is a series of its own for as long
 * as the process lasts, and whoever sends documents can make up any number.
 */
export class Names {
  readonly #known = new Set<string>();

  /** `anonymous` without one; `other` past the most, and for what is no reasonable name. */
  label(name: string | undefined): string {
    if (name === undefined) return 'anonymous';
    if (this.#known.has(name)) return name;
    if (this.#known.size >= MOST || name.length > LONGEST) return 'other';
    this.#known.add(name);
    return name;
  }
}
