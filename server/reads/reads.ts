import { setImmediate as turn } from 'node:timers/promises';
import DataLoader from 'dataloader';
import { forClient, isUnavailable } from '../database/errors.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import type { OperationObserver } from '../lib/observer.ts';
import type { Primary } from '../replication/primary.ts';
import type { Source } from './batcher.ts';
import type { Place, Router } from './router.ts';

export type Level = 'eventual' | 'session' | 'strong';

/** What the client is told of how its operation was answered. */
export interface Report {
  source: string;
  bookmark?: string;
  waitedMs: number;
  fallback?: string;
}

/** The server that was chosen, one more, and where the primary is away, another one that would not do before. */
const MOST_TRIES = 3;

/**
 * The reads of one operation: one place for all of them, chosen when the first is needed. A write moves the position
 * on, so that what is read after it sees it, and chooses again.
 */
export class Reads {
  readonly #router: Router;
  readonly #primary: Primary;
  readonly #level: Level;
  readonly #observer: OperationObserver | undefined;
  #place: Promise<Place> | undefined;
  readonly #released: (() => void)[] = [];
  #isReleased = false;
  /** What the operation must see: the client's bookmark, then its own writes and reads. */
  #position: Lsn | null;
  #source: Pick<Report, 'source' | 'fallback'> | undefined;
  #waitedMs = 0;
  #hasWritten = false;
  /** It reads a table that replicas hold other rows of. */
  #isApart = false;

  constructor(
    { router, primary }: { router: Router; primary: Primary },
    level: Level,
    bookmark: Lsn | null,
    observer: OperationObserver | undefined,
  ) {
    this.#router = router;
    this.#primary = primary;
    this.#level = level;
    this.#position = bookmark;
    this.#observer = observer;
  }

  /** The position to hand to the client; null where nothing was read, written or asked for. */
  get position(): Lsn | null {
    return this.#position;
  }

  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  get report(): Omit<Report, 'bookmark'> {
    return {
      source: this.#source?.source ?? 'none',
      waitedMs: this.#waitedMs,
      ...(this.#source?.fallback && { fallback: this.#source.fallback }),
    };
  }

  /**
   * Runs a read where this operation reads. Where a server breaks under it, again where the choice then falls, twice. From
   * the first table on of which the replicas hold other rows, it reads on the primary.
   */
  async read<Read extends { seen: Lsn }>(run: (place: Place) => Promise<Read>, table?: string): Promise<Read> {
    if (table !== undefined && !this.#isApart && this.#router.holdsOthers(table)) {
      this.#isApart = true;
      this.#place = undefined;
    }
    for (let tries = 1; ; tries++) {
      const chosen = (this.#place ??= this.#choose());
      const place = await chosen;
      try {
        return this.#saw(await run(place));
      } catch (error) {
        if (!isUnavailable(error) || tries === MOST_TRIES) throw this.#forClient(error, place);
        await place.failed(error);
        place.release();
        if (this.#place === chosen) this.#place = undefined;
      }
    }
  }

  /** The operation has written on the primary: what it reads from now on sees that. */
  wrote(lsn: Lsn): void {
    this.#advance(lsn);
    this.#hasWritten = true;
    this.#source = { source: 'primary' };
    this.#place = undefined;
  }

  /** The operation has learned of something that is there from this position on. */
  mustSee(lsn: Lsn): void {
    this.#advance(lsn);
    this.#place = undefined;
  }

  /** The operation has ended. Fields that nobody waits for may still read, and choose. */
  release(): void {
    this.#isReleased = true;
    for (const release of this.#released) release();
  }

  async #choose(): Promise<Place> {
    const place = await this.#chooseByLevel();
    if (this.#isReleased) place.release();
    else this.#released.push(place.release);
    this.#waitedMs += place.waitedMs;
    this.#observer?.chose(place);
    this.#source = { source: place.name, ...(place.fallback && { fallback: place.fallback }) };
    return place;
  }

  async #chooseByLevel(): Promise<Place> {
    if (this.#isApart) return this.#router.primary();
    if (this.#level === 'eventual' && !this.#hasWritten) return this.#router.any();
    if (this.#level === 'strong') this.#advance(await this.#primary.flushedNow());
    return this.#router.atLeast(this.#position);
  }

  #saw<Read extends { seen: Lsn }>(read: Read): Read {
    this.#advance(read.seen);
    return read;
  }

  #advance(lsn: Lsn): void {
    this.#position = this.#position === null ? lsn : later(this.#position, lsn);
  }

  #forClient(error: unknown, place: Place): unknown {
    return forClient(error, place.name === 'primary' ? 'PRIMARY' : 'REPLICA');
  }
}

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

  /** The operation has written on the primary: what was read before that is no longer true. */
  wrote(lsn: Lsn): void {
    this.#reads.wrote(lsn);
    this.#loaders = new Map();
  }

  load<Question, Value>(source: Source<Question, Value>, question: Question): Promise<Value> {
    const loader = (this.#loaders.get(source) as DataLoader<string, Value> | undefined) ?? this.#make(source);
    return loader.load(source.keyOf(question));
  }

  #make<Question, Value>(source: Source<Question, Value>): DataLoader<string, Value> {
    const loader = new DataLoader<string, Value>(async (keys) => {
      const { rows } = await this.#reads.read(
        (place) => source.batcherOn(place.sql).load(keys, this.#signal, this.#observer?.trace, this.#spender),
        source.table,
      );
      return this.#takesTurns ? inSlices(rows) : rows;
    });
    this.#loaders.set(source, loader);
    return loader;
  }
}

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
