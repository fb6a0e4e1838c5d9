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
 * Gathers the keys that all requests of the process ask for within one turn of the event loop into one statement and,
 * while `mostInFlight` statements are under way, what is asked for meanwhile into the next. Keys are primitives: equal
 * ones are sent once. A statement starts after its last key was asked for, so nobody is answered from a state older
 * than the one they waited for.
 */
export class Batcher<Key, Value> {
  readonly #run: Run<Key, Value>;
  readonly #mostInFlight: number;
  #waiting: Waiting<Key, Value>[] = [];
  #scheduled = false;
  #inFlight = 0;

  constructor(run: Run<Key, Value>, mostInFlight: number) {
    this.#run = run;
    this.#mostInFlight = mostInFlight;
  }

  load(keys: readonly Key[]): Promise<Batch<Value>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ keys, resolve, reject });
      this.#schedule();
    });
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
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const group of groups(waiting)) void this.#track(group);
  }

  async #track(group: Waiting<Key, Value>[]): Promise<void> {
    this.#inFlight++;
    await this.#send(group);
    this.#inFlight--;
    if (this.#waiting.length > 0) this.#schedule();
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
