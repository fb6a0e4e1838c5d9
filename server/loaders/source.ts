import { cancelledBy } from '../db/cancel.ts';
import type { Sql } from '../db/connect.ts';
import { observerOf } from '../db/observed.ts';
import { later } from '../lib/lsn.ts';
import { Batcher, type Batch } from './batcher.ts';

/** Look-ups by key are quick and alike: two statements at once keep the connection busy, and more keys share the next. */
export const KEYS_IN_FLIGHT = 2;
/** Questions differ in cost: none waits for another; the pool bounds them. */
export const UNBOUNDED = Infinity;

type Run<Value> = (sql: Sql, keys: string[]) => Promise<Batch<Value>>;

/**
 * One kind of question and how it is answered, for the whole process. Each connection pool has a batcher of its own,
 * made when first read from: what all operations ask there in one turn goes out together.
 */
export class Source<Question, Value> {
  /** For who looks at the server from outside. */
  readonly #name: string;
  /** Equal questions have equal keys. */
  readonly keyOf: (question: Question) => string;
  readonly #run: Run<Value>;
  readonly #mostInFlight: number;
  readonly #batchers = new WeakMap<Sql, Batcher<string, Value>>();

  constructor(name: string, keyOf: (question: Question) => string, run: Run<Value>, mostInFlight: number) {
    this.#name = name;
    this.keyOf = keyOf;
    this.#run = run;
    this.#mostInFlight = mostInFlight;
  }

  batcherOn(sql: Sql): Batcher<string, Value> {
    const existing = this.#batchers.get(sql);
    if (existing) return existing;
    const batcher = new Batcher<string, Value>(this.#runOn(sql), this.#mostInFlight);
    this.#batchers.set(sql, batcher);
    return batcher;
  }

  #runOn(sql: Sql) {
    const observer = observerOf(sql);
    return (keys: string[], signal: AbortSignal, askedBy: readonly unknown[]): Promise<Batch<Value>> => {
      const run = () => this.#run(cancelledBy(sql, signal), keys);
      return observer ? observer.batch({ loader: this.#name, keys: keys.length, askedBy }, run) : run();
    };
  }
}

/** A position at or after everything that any of the reads could see. */
export const latest = (reads: readonly Pick<Batch<never>, 'seen'>[]) => reads.map(({ seen }) => seen).reduce(later, 0n);
