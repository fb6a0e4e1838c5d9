import type { Complain } from '../lib/complaints.ts';
import { withinMs } from '../lib/within.ts';
import type { Sql } from './connect.ts';

export interface ListenerOptions {
  /** Opens a pool of one connection with these hooks. */
  open: (hooks: { closed: () => void; notified: () => void }) => Sql;
  channel: string;
  /** Called at every notification and, since those rung while away are lost, whenever listening begins. */
  rang: () => void;
  /** The listening session is asked for a sign of life this often; without one in that time it is opened again. */
  heartbeatMs: number;
  complain: Complain;
}

const NOT_HEARD = 'A replica is not listened to: it is looked at in turns until it is, so reads may wait longer there.';

const MOST_WAIT_MS = 2000;

/** LISTEN on one connection of its own, which it keeps up: after every loss it listens again, with growing pauses. */
export class Listener {
  readonly #options: ListenerOptions;
  #sql: Sql | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Resolves when the first attempt has succeeded or failed: a server that is down now is listened to when it is back. */
  async start(): Promise<void> {
    await this.#listen();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#sql?.end({ timeout: 1 });
  }

  async #listen(): Promise<void> {
    const { open, channel, rang, heartbeatMs } = this.#options;
    let sql: Sql | undefined;
    try {
      // A file that it needs may be away for a moment, such as a certificate that is replaced.
      const opened = open({ closed: () => this.#again(opened), notified: rang });
      sql = this.#sql = opened;
      await withinMs(sql`listen ${sql(channel)}`, heartbeatMs);
      this.#failures = 0;
      rang();
      this.#beatLater(sql);
    } catch (error) {
      this.#failed(sql, error);
    }
  }

  #failed(sql: Sql | undefined, error: unknown): void {
    if (!this.#stopped && this.#sql === sql) this.#options.complain(error, NOT_HEARD);
    this.#again(sql);
  }

  /** Once for each lost connection: what closes later is of a session given up already. */
  #again(lost: Sql | undefined): void {
    if (this.#stopped || this.#sql !== lost) return;
    this.#sql = undefined;
    clearTimeout(this.#timer);
    void lost?.end({ timeout: 0 }).catch(() => undefined); // it is lost already
    this.#timer = setTimeout(() => void this.#listen(), Math.min(50 * 2 ** this.#failures++, MOST_WAIT_MS));
  }

  #beatLater(sql: Sql): void {
    this.#timer = setTimeout(() => void this.#beat(sql), this.#options.heartbeatMs);
  }

  async #beat(sql: Sql): Promise<void> {
    try {
      await withinMs(sql`select 1`, this.#options.heartbeatMs);
      if (this.#sql === sql && !this.#stopped) this.#beatLater(sql);
    } catch (error) {
      this.#failed(sql, error);
    }
  }
}
