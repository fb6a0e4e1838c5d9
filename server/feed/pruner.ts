import type { Sql } from '../database/connect.ts';
import type { Logger } from '../lib/logger.ts';
import { pruneLog } from '../database/sql/change-log.ts';

export interface PrunerOptions {
  /** Of each replica, as readback_pruner. */
  logs: readonly { name: string; sql: Sql }[];
  keepHours: number;
  keepBytes: number;
  everyMs: number;
  log: Logger;
}

/** Rows at most in one transaction, unless one of the primary's had more. */
const BATCH = 10_000;

/** Keeps the change logs within their age and size. Of several servers, one at a time does the work. */
export class Pruner {
  readonly #options: PrunerOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: PrunerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#run(), this.#options.everyMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  async #run(): Promise<void> {
    this.#round = Promise.all(this.#options.logs.map((log) => this.#prune(log)));
    await this.#round;
    if (!this.#stopped) this.start();
  }

  /** A replica that is away is pruned when it is back. */
  async #prune({ name, sql }: PrunerOptions['logs'][number]): Promise<void> {
    const { keepHours, keepBytes, log } = this.#options;
    try {
      while (!this.#stopped && (await pruneLog(sql, keepHours, keepBytes, BATCH)) > 0);
    } catch (error) {
      log.warn({ err: error }, `the change log of ${name} was not pruned: trying again in ${this.#options.everyMs} ms`);
    }
  }
}
