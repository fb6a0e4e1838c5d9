import { AsyncLocalStorage } from 'node:async_hooks';
import type { Sql, Statement } from '../db/connect.ts';
import type { Lsn } from '../lib/lsn.ts';

export interface Written<Row> {
  rows: readonly Row[];
  /** Flushed behind the commit; `timeline` as the name of a WAL file begins. */
  flushed: Lsn;
  timeline: string;
}

interface Waiting {
  /** Two statements, sent at once: the write, and the position behind it. Never fails. */
  send: (connection: Sql) => Promise<void>;
  reject: (error: unknown) => void;
}

/** So many go over one connection at once: they wait for each other's locks. */
const MOST_TOGETHER = 4;

/**
 * Writing statements, each with the flushed position behind its commit. They are transactions of their own. Where all
 * connections are taken, those that wait for one go over it together, one after the other.
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
    const { promise, resolve, reject } = Promise.withResolvers<Written<Row>>();
    // In the caller's context, which traces know it by.
    const send = AsyncLocalStorage.bind((connection: Sql) => sendOne(connection, statement).then(resolve, reject));
    this.#waiting.push({ send, reject });
    if (this.#coming < this.#connections) void this.#serve();
    return promise;
  }

  async #serve(): Promise<void> {
    this.#coming++;
    const [reserved] = await Promise.allSettled([this.#writer.reserve()]);
    const share = this.#waiting.splice(0, Math.min(MOST_TOGETHER, Math.ceil(this.#waiting.length / this.#coming)));
    this.#coming--;
    while (this.#coming < Math.min(this.#connections, Math.ceil(this.#waiting.length / MOST_TOGETHER)))
      void this.#serve();
    if (reserved.status === 'rejected') return share.forEach(({ reject }) => reject(reserved.reason));
    await Promise.all(share.map(({ send }) => send(reserved.value as Sql)));
    reserved.value.release();
  }
}

/** Each has a Sync of its own: the second runs when the first has committed, and fails or not by itself. */
async function sendOne<Row extends object>(
  connection: Sql,
  write: (sql: Sql) => Statement<Row>,
): Promise<Written<Row>> {
  const statement = write(connection).execute();
  const [written, behind] = await Promise.allSettled([statement, positionOn(connection)]);
  if (written.status === 'rejected') throw written.reason;
  if (behind.status === 'rejected') throw behind.reason;
  const [position] = wasSentAgain(statement) ? await positionOn(connection) : behind.value;
  return { rows: written.value, ...position };
}

const positionOn = (connection: Sql) =>
  connection<[Omit<Written<object>, 'rows'>]>`
    select flushed, left(pg_walfile_name(flushed), 8) as timeline from pg_current_wal_flush_lsn() as flushed`.execute();

/** Its plan was no longer good: the driver has sent it once more, behind the question for the position. */
const wasSentAgain = (statement: object) => (statement as { retried?: unknown }).retried != null;
