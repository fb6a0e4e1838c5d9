import type { Sql } from '../database/connect.ts';
import { estimatedRows } from '../database/sql/sizes.ts';
import type { Complain } from '../lib/complaints.ts';

const EVERY_MS = 60_000;
const NOTHING_KNOWN: ReadonlyMap<string, number> = new Map();
const NO_SIZES = 'The primary does not tell how large tables are: counts are taken for as dear as they were before.';

/** About how many rows tables have, asked for each minute. It is another map each time. */
export class TableSizes {
  readonly #primary: Sql;
  readonly #tables: readonly string[];
  readonly #complain: Complain;
  #rows = NOTHING_KNOWN;
  #askedAtMs = -Infinity;

  constructor(primary: Sql, tables: readonly string[], complain: Complain) {
    this.#primary = primary;
    this.#tables = tables;
    this.#complain = complain;
  }

  get rows(): ReadonlyMap<string, number> {
    return this.#rows;
  }

  /** With the primary away what was known stays: tables do not shrink or grow much meanwhile. */
  round(): void {
    if (performance.now() - this.#askedAtMs < EVERY_MS) return;
    this.#askedAtMs = performance.now();
    estimatedRows(this.#primary, this.#tables).then(
      (rows) => (this.#rows = rows),
      (error: unknown) => this.#complain(error, NO_SIZES),
    );
  }
}
