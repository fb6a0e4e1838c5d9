import { setImmediate as turn } from 'node:timers/promises';
import DataLoader from 'dataloader';
import type { OperationObserver } from '../lib/observer.ts';
import type { Reads } from './reads.ts';
import type { Source } from './batcher.ts';

/** More rows than the first come in slices of the second, which take a few milliseconds to be made the fields that were asked for. */
const [MANY_ROWS, SLICE_ROWS] = [1000, 100];

/**
 * Of many rows the later ones come in later turns of the event loop, so that others have theirs: all that is done with what
 * is there at once is done in one go. What is asked for under them is a statement for each slice, so that it is done only where
 * users have limits.
 */
export function inSlices<Value>(values: Value[]): Value[] {
  if (values.length === 1 || values.reduce((sum, value) => sum + rowsIn(value), 0) <= MANY_ROWS) return values;
  let [rows, later]: [number, Promise<void> | undefined] = [0, undefined];
  return values.map((value) => {
    const count = rowsIn(value);
    rows += count;
    if (rows > SLICE_ROWS && rows > count) [rows, later] = [count, later ? later.then(() => turn()) : turn()];
    // DataLoader resolves with it, and so waits for it.
    return later ? (later.then(() => value) as Value) : value;
  });
}

const rowsIn = (value: unknown): number => (Array.isArray(value) ? value.length : 1);

/** The loaders of one operation: each question once, all of one tick together, from where the operation reads. */
export class Loaders {
  readonly #reads: Reads;
  readonly #signal: AbortSignal;
  readonly #observer: OperationObserver | undefined;
  readonly #spender: string;
  readonly #takesTurns: boolean;
  /** By source, made when first asked. */
  #loaders = new Map<object, DataLoader<string, unknown>>();

  /** What nobody waits for once the signal aborts is cancelled; `takesTurns`: others have theirs between many rows. */
  constructor(
    reads: Reads,
    signal: AbortSignal,
    observer: OperationObserver | undefined,
    spender: string,
    takesTurns: boolean,
  ) {
    this.#reads = reads;
    this.#signal = signal;
    this.#observer = observer;
    this.#spender = spender;
    this.#takesTurns = takesTurns;
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
      const { values } = await this.#reads.read(
        (place) => source.batcherOn(place.sql).load(keys, this.#signal, this.#observer?.trace, this.#spender),
        source.table,
      );
      return this.#takesTurns ? inSlices(values) : values;
    });
    this.#loaders.set(source, loader);
    return loader;
  }
}
