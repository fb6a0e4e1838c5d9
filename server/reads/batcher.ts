import { isOfValue } from '../database/errors.ts';
import type { Seen } from '../database/sql/seen.ts';

/** Those who ask. */
export interface Asked {
  /** Aborts when nobody waits for the keys any more. */
  signal: AbortSignal;
  /** What each of those gave who asked. */
  askedBy: readonly unknown[];
  /** Who spends; where all share statements, the first of them. */
  spender: string;
}

/** Answers each key, in their order. */
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
