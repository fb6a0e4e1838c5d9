import type { Primary } from './primary.ts';

const EVERY_MS = 60_000;
const NOTHING_KNOWN: ReadonlyMap<string, number> = new Map();

/** About how many rows tables have, asked for each minute. It is another map each time. */
export class TableSizes {
  readonly #primary: Pick<Primary, 'estimatedRows'>;
  readonly #tables: readonly string[];
  #rows = NOTHING_KNOWN;
  #askedAtMs = -Infinity;

  constructor(primary: Pick<Primary, 'estimatedRows'>, tables: readonly string[]) {
    this.#primary = primary;
    this.#tables = tables;
  }

  get rows(): ReadonlyMap<string, number> {
    return this.#rows;
  }

  /** With the primary away what was known stays: tables do not shrink or grow much meanwhile. */
  round(): void {
    if (performance.now() - this.#askedAtMs < EVERY_MS) return;
    this.#askedAtMs = performance.now();
    void this.#primary.estimatedRows(this.#tables).then((rows) => (this.#rows = rows ?? this.#rows));
  }
}
