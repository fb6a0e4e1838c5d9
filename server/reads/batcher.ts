import type { Sql } from '../database/connect.ts';
import { isOfValue } from '../database/errors.ts';
import { sharesOf } from '../database/shares.ts';
import type { Seen } from '../database/sql/seen.ts';
import { cancelledBy, observerOf } from '../database/statements.ts';
import type { Turns } from '../lib/turns.ts';

/**
 * What sort of statements answer. Look-ups by key are quick and alike: two at once keep the connection busy, and more keys
 * share the next. Pages and counts differ in cost: none waits for another of the same user, and those of several users
 * take turns, where the pool has shares.
 */
export type Sort = 'keys' | 'pages' | 'counts';

const KEYS_IN_FLIGHT = 2;

/** Sends a statement, when its turn has come. */
export type Send = <T>(statement: () => Promise<T>) => Promise<T>;

/** Answers each key, in their order. */
type Answer<Value> = (sql: Sql, keys: string[], send: Send) => Promise<Seen<Value>>;

/**
 * One kind of question and how it is answered, for the whole process. Each connection pool has a batcher of its own,
 * made when first read from: what all operations ask there in one turn goes out together.
 */
export class Source<Question, Value> {
  /** For who looks at the server from outside. */
  readonly #name: string;
  /** Equal questions have equal keys. */
  readonly keyOf: (question: Question) => string;
  /** What is read; undefined: nothing that a replica may lack a part of. */
  readonly table: string | undefined;
  readonly #run: Answer<Value>;
  readonly #sort: Sort;
  readonly #batchers = new WeakMap<Sql, Batcher<string, Value>>();

  constructor(name: string, keyOf: (question: Question) => string, run: Answer<Value>, sort: Sort, table?: string) {
    this.table = table;
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
    return (keys: string[], { signal, askedBy, spender }: Asked): Promise<Seen<Value>> => {
      const send: Send = (statement) => (turns ? turns.run(spender, signal, statement) : statement());
      const run = () => this.#run(cancelledBy(sql, signal), keys, send);
      return observer ? observer.batch({ loader: this.#name, keys: keys.length, askedBy }, run) : run();
    };
  }
}

/** Those who ask. */
interface Asked {
  /** Aborts when nobody waits for the keys any more. */
  signal: AbortSignal;
  /** What each of those gave who asked. */
  askedBy: readonly unknown[];
  /** Who spends; where all share statements, the first of them. */
  spender: string;
}

/** The same, of one pool. */
type Run<Key, Value> = (keys: Key[], asked: Asked) => Promise<Seen<Value>>;

interface Waiting<Key, Value> {
  keys: readonly Key[];
  askedBy: unknown;
  spender: string;
  resolve: (batch: Seen<Value>) => void;
  reject: (error: unknown) => void;
  isGone: boolean;
  /** Called when this one waits no longer. */
  gone: () => void;
}

export const MAX_BATCH_KEYS = 1000;

/**
 * Gathers the keys that all requests of the process ask for within one turn of the event loop into one statement and,
 * while `mostInFlight` statements are under way, what is asked for meanwhile into the next. Keys are primitives: equal
 * ones are sent once. A statement starts after its last key was asked for, so nobody is answered from a state older
 * than the one they waited for.
 */
export class Batcher<Key, Value> {
  readonly #run: Run<Key, Value>;
  readonly #mostInFlight: number;
  readonly #isApart: boolean;
  #waiting: Waiting<Key, Value>[] = [];
  #scheduled = false;
  #inFlight = 0;

  /** `isApart`: those who spend have statements of their own. */
  constructor(run: Run<Key, Value>, mostInFlight: number, isApart = false) {
    this.#run = run;
    this.#mostInFlight = mostInFlight;
    this.#isApart = isApart;
  }

  /** @throws the signal's reason as soon as it aborts. */
  load(keys: readonly Key[], signal?: AbortSignal, askedBy?: unknown, spender = ''): Promise<Seen<Value>> {
    const { promise, resolve, reject } = Promise.withResolvers<Seen<Value>>();
    const waiting: Waiting<Key, Value> = { keys, askedBy, spender, resolve, reject, isGone: false, gone: () => {} };
    this.#waiting.push(waiting);
    this.#schedule();
    return signal ? abandonedAt(signal, promise, waiting) : promise;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#inFlight < this.#mostInFlight) this.#dispatch();
    });
  }

  #dispatch(): void {
    const waiting = this.#waiting.filter(({ isGone }) => !isGone);
    this.#waiting = [];
    const apart = this.#isApart ? Map.groupBy(waiting, ({ spender }) => spender).values() : [waiting];
    for (const together of apart) for (const group of groups(together)) void this.#track(group);
  }

  async #track(group: Waiting<Key, Value>[]): Promise<void> {
    this.#inFlight++;
    await this.#send(group);
    this.#inFlight--;
    if (this.#waiting.length > 0) this.#schedule();
  }

  async #send(waiting: readonly Waiting<Key, Value>[]): Promise<void> {
    const group = waiting.filter(({ isGone }) => !isGone);
    if (group.length === 0) return;
    const nobody = new AbortController();
    for (const one of group) one.gone = () => group.every(({ isGone }) => isGone) && nobody.abort();
    const places = new Map<Key, number>();
    for (const { keys } of group) for (const key of keys) if (!places.has(key)) places.set(key, places.size);
    const askedBy = group.map((one) => one.askedBy);
    try {
      const asked = { signal: nobody.signal, askedBy, spender: group[0]!.spender };
      const { rows, seen } = await this.#run([...places.keys()], asked);
      for (const { keys, resolve } of group) resolve({ rows: keys.map((key) => rows[places.get(key)!]!), seen });
    } catch (error) {
      if (group.length > 1 && isOfValue(error)) await this.#sendHalves(group);
      else for (const { reject } of group) reject(error);
    }
  }

  /** One of them asks by a value that PostgreSQL refuses, with the statement of all: few statements find out which. */
  async #sendHalves(group: readonly Waiting<Key, Value>[]): Promise<void> {
    const middle = group.length >> 1;
    await Promise.all([this.#send(group.slice(0, middle)), this.#send(group.slice(middle))]);
  }
}

async function abandonedAt<Key, Value>(
  signal: AbortSignal,
  batch: Promise<Seen<Value>>,
  waiting: Waiting<Key, Value>,
): Promise<Seen<Value>> {
  const abandon = () => {
    waiting.isGone = true;
    waiting.reject(signal.reason);
    waiting.gone();
  };
  if (signal.aborted) abandon();
  signal.addEventListener('abort', abandon);
  try {
    return await batch;
  } finally {
    signal.removeEventListener('abort', abandon);
  }
}

/** Cuts where the next request's keys would pass the bound; one request's keys stay together. */
function groups<Key, Value>(waiting: Waiting<Key, Value>[]): Waiting<Key, Value>[][] {
  const result: Waiting<Key, Value>[][] = [];
  let size = MAX_BATCH_KEYS;
  for (const one of waiting) {
    size += one.keys.length;
    if (size > MAX_BATCH_KEYS) {
      result.push([]);
      size = one.keys.length;
    }
    result.at(-1)!.push(one);
  }
  return result;
}
