import DataLoader from 'dataloader';
import type { OperationObserver } from '../lib/observer.ts';
import type { Reads } from '../replication/reads.ts';
import type { Source } from './source.ts';

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
      return values;
    });
    this.#loaders.set(source, loader);
    return loader;
  }
}
