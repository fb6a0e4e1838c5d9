import { AsyncLocalStorage } from 'node:async_hooks';
import type { Sql, Statement } from '../db/connect.ts';
import type { Lsn } from '../lib/lsn.ts';

export interface Written<Row> {
  rows: readonly Row[];
  /** Flushed behind the commit; `timeline` as the name of a WAL file begins. */
  flushed: Lsn;
  timeline: string;
}

type Position = Omit<Written<object>, 'rows'>;

interface Waiting {
  send: (connection: Sql) => Promise<readonly object[]>;
  resolve: (written: Written<object>) => void;
  reject: (error: unknown) => void;
}

/** So many go over one connection at once: behind one that waits for a lock, so many less one wait with it. */
const MOST_TOGETHER = 4;

/**
 * Writing statements, each with the flushed position behind its commit. They are transactions of their own. Where all
 * connections are taken, those that wait for one go over it together, and share the position behind the last of them.
 */
export class Writes {
  readonly #writer: Sql;
  readonly #connections: number;
  #waiting: Waiting[] = [];
  /** Connections that are waited for. */
  #coming = 0;

  constructor(writer: Sql, connections: number) {
    this.#writer = writer;
    this.#connections = connections;
  }

  write<Row extends object>(statement: (sql: Sql) => Statement<Row>): Promise<Written<Row>> {
    return new Promise((resolve, reject) => {
      // In the caller's context, which traces know it by.
      const send = AsyncLocalStorage.bind(async (connection: Sql): Promise<readonly object[]> =>
        statement(connection).execute(),
      );
      this.#waiting.push({ send, resolve: resolve as Waiting['resolve'], reject });
      if (this.#coming < this.#connections) void this.#serve();
    });
  }

  async #serve(): Promise<void> {
    this.#coming++;
    const [reserved] = await Promise.allSettled([this.#writer.reserve()]);
    const share = this.#waiting.splice(0, Math.min(MOST_TOGETHER, Math.ceil(this.#waiting.length / this.#coming)));
    this.#coming--;
    if (this.#waiting.length > 0 && this.#coming === 0) void this.#serve();
    if (reserved.status === 'rejected') return share.forEach(({ reject }) => reject(reserved.reason));
    if (share.length > 0) await sendAll(reserved.value as Sql, share);
    reserved.value.release();
  }
}

/** All are sent at once, each with a Sync of its own: each runs when the one before it has committed. Never fails. */
async function sendAll(connection: Sql, share: Waiting[]): Promise<void> {
  const written = share.map(({ send }) => send(connection));
  const position = connection<[Position]>`
    select flushed, left(pg_walfile_name(flushed), 8) as timeline from pg_current_wal_flush_lsn() as flushed`.execute();
  const [behind, ...outcomes] = await Promise.allSettled([position, ...written]);
  for (const [index, outcome] of outcomes.entries()) {
    const { resolve, reject } = share[index]!;
    if (outcome.status === 'rejected') reject(outcome.reason);
    else if (behind.status === 'rejected') reject(behind.reason);
    else resolve({ rows: outcome.value, ...behind.value[0] });
  }
}
