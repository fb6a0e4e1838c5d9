import { batch, signal } from '@preact/signals';
import type { Operation } from '../../../schema/generated/operations.ts';
import { now } from '../api/time.ts';
import { follow, type Iterates } from '../api/follow.ts';
import { beforeOf, feedOf } from './documents.ts';
import type { Table } from './tables.ts';
import type { Row as Image } from './values.ts';

/** One change of one row. The images are undefined where the feed was not asked for the rows of its table. */
export interface Change {
  type: string;
  cursor: string;
  operation: Operation;
  table: string;
  key: string;
  changedFields: readonly string[];
  committedAt: string;
  appliedAt: string;
  lagMs: number;
  before: Image | null | undefined;
  after: Image | null | undefined;
}

interface Event extends Omit<Change, 'type' | 'before' | 'after'> {
  __typename: string;
  [image: string]: unknown;
}

export interface Row {
  change: Change;
  receivedAt: number;
}

/** Where a page was in the feed, with the changes that it had. */
export interface Place {
  cursor: string;
  rows: readonly Row[];
}

/** Why this page is behind, and how many changes it has caught up with since. */
export interface Behind {
  after: 'pause' | 'loss' | 'reload';
  count: number;
}

/** Rows that are kept; more go by uncounted only here, not in `total`. */
const KEPT = 200;
/** Of the changes before it was opened, a page begins with these. */
const LATEST = 50;
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
  #told: readonly Table[] = [];
  #cursor: string | null = null;
  /** What comes is from before the page was opened, or from a gap: told for the eye, and not counted. */
  #isEarlier = true;
  #waiting: Row[] = [];
  #news = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stop: (() => void) | undefined;

  /** `refused`: the server does not let this page follow the feed. */
  constructor(client: Iterates, refused: (code: string, message: string) => void) {
    this.#client = client;
    this.#refused = refused;
  }

  /** Null before the server has said where it is. */
  get place(): Place | null {
    this.#draw();
    return this.#cursor === null ? null : { cursor: this.#cursor, rows: this.rows.peek() };
  }

  /** Before it starts: goes on from there, and misses nothing. */
  restore({ cursor, rows }: Place): void {
    this.#cursor = cursor;
    this.#isEarlier = false;
    batch(() => {
      this.rows.value = rows;
      this.behind.value = { after: 'reload', count: 0 };
    });
  }

  start(): void {
    this.#stop = follow(this.#client, {
      document: feedOf(this.#told),
      // After a gap some of the latest may be there already, under other cursors.
      variables: () => ({ after: this.#cursor, latest: this.rows.peek().length === 0 ? LATEST : null }),
      next: ({ changes }: { changes: Event }) => this.#take(changes),
      failed: (code, message) => {
        if (code === 'CURSOR_EXPIRED') this.#startAnew(true);
        else if (code === 'BAD_CURSOR') this.#startAnew(false);
        else this.#refused(code, message);
      },
    });
  }

  /** From here on the rows of these tables are told, too: it goes on after its cursor, and misses nothing. */
  tell(tables: readonly Table[]): void {
    if (tables.length === this.#told.length && tables.every((table, index) => table === this.#told[index])) return;
    this.#told = tables;
    if (!this.#stop || this.isPaused.peek()) return;
    this.#stop();
    this.start();
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
    this.#cursor = event.cursor;
    if (event.__typename === 'CaughtUp') this.#caughtUp();
    else this.#add({ change: this.#changeOf(event), receivedAt: now() });
  }

  #changeOf({ __typename: type, ...event }: Event): Change {
    const table = this.#told.find(({ change }) => change?.type === type);
    const image = (name: string) => event[name] as Image | null | undefined;
    const images = table && { before: image(beforeOf(table)), after: image(table.change!.row) };
    return { ...(event as Omit<Change, 'type'>), type, before: images?.before, after: images?.after };
  }

  #add(row: Row): void {
    this.#waiting.push(row);
    if (!this.#isEarlier) {
      this.#news++;
      for (const listener of this.#listeners) listener(row);
    }
    this.#timer ??= setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const fresh = this.#waiting.toReversed();
    const news = this.#news;
    this.#waiting = [];
    this.#news = 0;
    if (fresh.length === 0) return;
    batch(() => {
      this.total.value += news;
      this.rows.value = [...fresh, ...this.rows.value].slice(0, KEPT);
      const { value } = this.behind;
      if (value) this.behind.value = { ...value, count: value.count + news };
    });
  }

  #caughtUp(): void {
    this.#draw();
    this.#isEarlier = false;
    batch(() => {
      this.isReady.value = true;
      if (this.behind.value) this.closed.value = this.behind.value;
      this.behind.value = null;
    });
  }

  /** What was told before is of this database, too, or of another one, and then not worth keeping. */
  #startAnew(isSame: boolean): void {
    this.#cursor = null;
    this.#isEarlier = true;
    batch(() => {
      this.hasGap.value = isSame;
      if (isSame) return;
      this.rows.value = [];
      this.behind.value = null;
    });
  }
}
