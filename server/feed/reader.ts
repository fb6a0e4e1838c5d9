import type { Sql } from '../db/connect.ts';
import { shared } from '../lib/shared.ts';
import { changesAfter, lastSeq } from '../store/change-log.ts';
import type { FeedChange } from './hub.ts';

const BATCH = 500;

/**
 * Reads a replica's change log. The doorbell only says that there may be something new: what is sent is what was read
 * back. Start it after LISTEN, so that nothing falls between.
 */
export class FeedReader {
  readonly #sql: Sql;
  readonly #publish: (change: FeedChange) => void;
  #seq: string | undefined;

  constructor(sql: Sql, publish: (change: FeedChange) => void) {
    this.#sql = sql;
    this.#publish = publish;
  }

  /** Publishes all that is new, from the end of the log as the first call finds it; shared by all who ring at the same time. */
  readonly catchUp = shared(async (): Promise<void> => {
    this.#seq ??= await lastSeq(this.#sql);
    while (await this.#readBatch(this.#seq));
  });

  async #readBatch(seq: string): Promise<boolean> {
    const { rows, seen } = await changesAfter(this.#sql, seq, BATCH);
    for (const row of rows) this.#publish({ ...row, seen });
    this.#seq = rows.at(-1)?.seq ?? seq;
    return rows.length === BATCH;
  }
}
