import type { Lsn } from '../lib/lsn.ts';

/** The values of the keys asked for, in their order, and a position at or after everything the read could see. */
export interface Batch<Value> {
  values: Value[];
  seen: Lsn;
}

type Run<Key, Value> = (keys: Key[]) => Promise<Batch<Value>>;

interface Waiting<Key, Value> {
  keys: readonly Key[];
  resolve: (batch: Batch<Value>) => void;
  reject: (error: unknown) => void;
}

export const MAX_BATCH_KEYS = 1000;

/**
 * Gathers the keys that all requests of the process ask for within one turn of the event loop into one statement.
 * Keys are primitives: equal ones are sent once. The statement starts after the last key was asked for, so nobody is
 * answered from a state older than the one they waited for.
 */
export class Batcher<Key, Value> {
  readonly #run: Run<Key, Value>;
  #waiting: Waiting<Key, Value>[] = [];

  constructor(run: Run<Key, Value>) {
    this.#run = run;
  }

  load(keys: readonly Key[]): Promise<Batch<Value>> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#dispatch());
      this.#waiting.push({ keys, resolve, reject });
    });
  }

  #dispatch(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const group of groups(waiting)) void this.#send(group);
  }

  async #send(group: Waiting<Key, Value>[]): Promise<void> {
    const places = new Map<Key, number>();
    for (const { keys } of group) for (const key of keys) if (!places.has(key)) places.set(key, places.size);
    try {
      const { values, seen } = await this.#run([...places.keys()]);
      for (const { keys, resolve } of group) resolve({ values: keys.map((key) => values[places.get(key)!]!), seen });
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
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
