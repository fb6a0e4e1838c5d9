import { cancelledBy } from '../database/cancel.ts';
import type { Sql } from '../database/connect.ts';
import { observerOf } from '../database/observed.ts';
import { sharesOf } from '../database/shares.ts';
import { later } from '../lib/lsn.ts';
import type { Turns } from '../lib/turns.ts';
import { Batcher, type Asked, type Batch } from './batcher.ts';

/**
 * What sort of statements answer. Look-ups by key are quick and alike: two at once keep the connection busy, and more keys
 * share the next. Pages and counts differ in cost: none waits for another of the same user, and those of several users
 * take turns, where the pool has shares.
 */
export type Sort = 'keys' | 'pages' | 'counts';

const KEYS_IN_FLIGHT = 2;

/** Sends a statement, when its turn has come. */
export type Send = <T>(statement: () => Promise<T>) => Promise<T>;

type Run<Value> = (sql: Sql, keys: string[], send: Send) => Promise<Batch<Value>>;

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
  readonly #sort: Sort;
  readonly #batchers = new WeakMap<Sql, Batcher<string, Value>>();

  constructor(name: string, keyOf: (question: Question) => string, run: Run<Value>, sort: Sort) {
    this.#name = name;
    this.keyOf = keyOf;
    this.#run = run;
    this.#sort = sort;
  }

  batcherOn(sql: Sql): Batcher<string, Value> {
    const existing = this.#batchers.get(sql);
    if (existing) return existing;
    const turns = this.#sort === 'keys' ? undefined : sharesOf(sql)?.[this.#sort];
    const mostInFlight = this.#sort === 'keys' ? KEYS_IN_FLIGHT : Infinity;
    const batcher = new Batcher<string, Value>(this.#runOn(sql, turns), mostInFlight, turns !== undefined);
    this.#batchers.set(sql, batcher);
    return batcher;
  }

  #runOn(sql: Sql, turns: Turns | undefined) {
    const observer = observerOf(sql);
    return (keys: string[], { signal, askedBy, spender }: Asked): Promise<Batch<Value>> => {
      const send: Send = (statement) => (turns ? turns.run(spender, signal, statement) : statement());
      const run = () => this.#run(cancelledBy(sql, signal), keys, send);
      return observer ? observer.batch({ loader: this.#name, keys: keys.length, askedBy }, run) : run();
    };
  }
}

/** A position at or after everything that any of the reads could see. */
export const latest = (reads: readonly Pick<Batch<never>, 'seen'>[]) => reads.map(({ seen }) => seen).reduce(later, 0n);
