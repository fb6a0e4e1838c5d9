import { batch, signal } from '@preact/signals';
import { ChangesDocument, type ChangesSubscription } from '../../../schema/generated/operations.ts';
import { now } from '../api/time.ts';
import { follow, type Iterates } from '../api/follow.ts';

type Event = ChangesSubscription['changes'];
export type Change = Exclude<Event, { __typename: 'SnapshotRow' | 'CaughtUp' }>;

export interface Row {
  change: Change;
  receivedAt: number;
}

/** Why this page is behind, and how many changes it has caught up with since. */
export interface Behind {
  after: 'pause' | 'loss';
  count: number;
}

/** Rows that are kept; more go by uncounted only here, not in `total`. */
export const KEPT = 200;
/** A page need not be drawn for each of a thousand changes a second. */
const DRAW_MS = 50;

/**
 * The change feed: holds the cursor of the last event, goes on after it after a pause or a lost connection, and says
 * how many changes it caught up with.
 */
export class Feed {
  readonly rows = signal<readonly Row[]>([]);
  readonly total = signal(0);
  readonly isPaused = signal(false);
  /** True once the server said that nothing is owed. */
  readonly isReady = signal(false);
  readonly behind = signal<Behind | null>(null);
  /** The last time that a gap was closed. */
  readonly closed = signal<Behind | null>(null);
  /** The log no longer reached back to the cursor: changes are missing in `rows`. */
  readonly hasGap = signal(false);
  readonly #client: Iterates;
  readonly #refused: (code: string, message: string) => void;
  readonly #listeners = new Set<(row: Row) => void>();
  #cursor: string | null = null;
  #waiting: Row[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stop: (() => void) | undefined;

  /** `refused`: the server does not let this page follow the feed. */
  constructor(client: Iterates, refused: (code: string, message: string) => void) {
    this.#client = client;
    this.#refused = refused;
  }

  start(): void {
    this.#stop = follow(this.#client, {
      document: ChangesDocument,
      variables: () => ({ after: this.#cursor, snapshot: false }),
      next: ({ changes }) => this.#take(changes),
      failed: (code, message) => (code === 'CURSOR_EXPIRED' ? this.#startAnew() : this.#refused(code, message)),
    });
  }

  pause(): void {
    this.#stop?.();
    this.#draw();
    this.isPaused.value = true;
  }

  resume(): void {
    batch(() => {
      this.isPaused.value = false;
      this.behind.value ??= { after: 'pause', count: 0 };
    });
    this.start();
  }

  /** The connection is lost: what happens from now on is owed. */
  lost(): void {
    this.#draw();
    if (!this.isPaused.value && this.isReady.value) this.behind.value ??= { after: 'loss', count: 0 };
  }

  /** Each change as it arrives, before it is drawn. */
  onChange(listener: (row: Row) => void): void {
    this.#listeners.add(listener);
  }

  #take(event: Event): void {
    if (event.__typename === 'SnapshotRow') return; // none is asked for
    this.#cursor = event.cursor;
    if (event.__typename === 'CaughtUp') this.#caughtUp();
    else this.#add({ change: event, receivedAt: now() });
  }

  #add(row: Row): void {
    for (const listener of this.#listeners) listener(row);
    this.#waiting.push(row);
    this.#timer ??= setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const fresh = this.#waiting.toReversed();
    this.#waiting = [];
    if (fresh.length === 0) return;
    batch(() => {
      this.total.value += fresh.length;
      this.rows.value = [...fresh, ...this.rows.value].slice(0, KEPT);
      const { value } = this.behind;
      if (value) this.behind.value = { ...value, count: value.count + fresh.length };
    });
  }

  #caughtUp(): void {
    this.#draw();
    batch(() => {
      this.isReady.value = true;
      if (this.behind.value) this.closed.value = this.behind.value;
      this.behind.value = null;
    });
  }

  #startAnew(): void {
    this.#cursor = null;
    this.hasGap.value = true;
  }
}
