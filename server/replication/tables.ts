import type { Declaration } from '../declare/declaration.ts';
import type { Logger } from '../lib/logger.ts';
import { driftInWords, type Drift } from '../setup/drift.ts';
import type { Primary } from './primary.ts';

/** It costs a statement over the catalog. */
const EVERY_MS = 30_000;

/** What the application has changed about the tables of the primary, found within a minute and told once. */
export class TableWatch {
  readonly #primary: Pick<Primary, 'drifts'>;
  readonly #declared: readonly Declaration[];
  readonly #log: Pick<Logger, 'warn' | 'info'>;
  #drifts: readonly Drift[] = [];
  #lookedAtMs = -Infinity;

  constructor(primary: Pick<Primary, 'drifts'>, declared: readonly Declaration[], log: Pick<Logger, 'warn' | 'info'>) {
    this.#primary = primary;
    this.#declared = declared;
    this.#log = log;
  }

  /** As last seen. */
  get drifts(): readonly Drift[] {
    return this.#drifts;
  }

  /** To be called in each round of the monitor. With the primary away what was seen stays. */
  round(): void {
    if (performance.now() - this.#lookedAtMs < EVERY_MS) return;
    this.#lookedAtMs = performance.now();
    void this.#primary.drifts(this.#declared).then((drifts) => drifts && this.#saw(drifts));
  }

  #saw(drifts: readonly Drift[]): void {
    const told = new Set(this.#drifts.map(driftInWords));
    for (const drift of drifts)
      if (!told.has(driftInWords(drift)))
        this.#log.warn({ table: drift.table, column: drift.column }, driftInWords(drift));
    if (drifts.length === 0 && told.size > 0)
      this.#log.info({}, 'The tables of the primary are as they were migrated.');
    this.#drifts = drifts;
  }
}
