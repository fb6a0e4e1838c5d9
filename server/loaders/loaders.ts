import { setImmediate as turn } from 'node:timers/promises';
import DataLoader from 'dataloader';
import type { OperationObserver } from '../lib/observer.ts';
import type { Reads } from '../replication/reads.ts';
import { MAX_BATCH_KEYS } from './batcher.ts';
import type { Source } from './source.ts';

/**
 * So many rows take a few milliseconds to be made the fields that were asked for. What is asked for under them goes out in
 * as many statements as there are slices, so a slice is no smaller than a statement's keys may be many.
 */
const SLICE_ROWS = MAX_BATCH_KEYS;

/**
 * Of many rows the later ones come in later turns of the event loop, so that others have theirs: all that is done with what
 * is there at once is done in one go.
 */
export function inSlices<Value>(values: Value[]): Value[] {
  if (values.length === 1) return values;
  let [rows, later]: [number, Promise<void> | undefined] = [0, undefined];
  return values.map((value) => {
    const count = Array.isArray(value) ? value.length : 1;
    rows += count;
    if (rows > SLICE_ROWS && rows > count) [rows, later] = [count, later ? later.then(() => turn()) : turn()];
    // DataLoader resolves with it, and so waits for it.
    return later ? (later.then(() => value) as Value) : value;
  });
}

/** The loaders of one operation: each question once, all of one tick together, from where the operation reads. */
export class Loaders {
  readonly #reads: Reads;
  readonly #signal: AbortSignal;
  readonly #observer: OperationObserver | undefined;
  readonly #spender: string;
  /** By source, made when first asked. */
  #loaders = new Map<object, DataLoader<string, unknown>>();

  /** What nobody waits for once the signal aborts is cancelled. */
  constructor(reads: Reads, signal: AbortSignal, observer: OperationObserver | undefined, spender: string) {
    this.#reads = reads;
    this.#signal = signal;
    this.#observer = observer;
    this.#spender = spender;
  }

  /** After a write: what was read before it is no longer true. */
  forget(): void {
    this.#loaders = new Map();
  }

  load<Question, Value>(source: Source<Question, Value>, question: Question): Promise<Value> {
    const loader = (this.#loaders.get(source) as DataLoader<string, Value> | undefined) ?? this.#make(source);
    return loader.load(source.keyOf(question));
  }

  #make<Question, Value>(source: Source<Question, Value>): DataLoader<string, Value> {
    const loader = new DataLoader<string, Value>(async (keys) => {
      const { values } = await this.#reads.read((place) =>
        source.batcherOn(place.sql).load(keys, this.#signal, this.#observer?.trace, this.#spender),
      );
      return inSlices(values);
    });
    this.#loaders.set(source, loader);
    return loader;
  }
}
