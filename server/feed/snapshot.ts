import type { Image } from '../declare/images.ts';
import type { FeedPlace } from './cursor.ts';
import type { Declaration } from '../declare/declaration.ts';
import type { SnapshotImage } from '../database/sql/change-log.ts';
import type { View } from './view.ts';

export interface SnapshotRow {
  table: string;
  key: string;
  image: Image;
  /** Where the feed goes on once the snapshot is complete. */
  place: FeedPlace;
}

/** Sends rows, and says how many of them the client took for now. */
export type SendRows = (rows: SnapshotRow[]) => Promise<number>;

/** Rows that are read in a turn. */
const [LEAST, FIRST, MOST] = [16, 32, 500];
/** A turn that takes longer is made shorter the next time: others wait for it. */
const TURN_MS = 50;

/**
 * Every row of the tables as one view has them, for one client. It holds its place in them, and no row while the client is
 * waited for: what was not taken is read again.
 */
export class Snapshot {
  readonly #view: View;
  readonly #tables: readonly Declaration[];
  #table = 0;
  #after: SnapshotImage | null = null;
  #limit = FIRST;
  #place: FeedPlace | undefined;

  constructor(view: View, tables: readonly Declaration[]) {
    this.#view = view;
    this.#tables = tables;
    view.enter();
  }

  /** Where the feed goes on after it; known once some of it was sent. */
  get place(): FeedPlace | undefined {
    return this.#place;
  }

  /** Sends the next rows when it has the turn. False: there are no more. */
  next(send: SendRows): Promise<boolean> {
    return this.#view.turn(async () => {
      const started = performance.now();
      const place = (this.#place = await this.#view.place());
      const table = this.#tables[this.#table];
      if (!table) return false;
      const images = await this.#view.rows(table, this.#after, this.#limit);
      const rows = images.map(({ key, image }) => ({ table: table.name, key, image, place }));
      this.#took(images, rows.length === 0 ? 0 : await send(rows), performance.now() - started);
      return this.#table < this.#tables.length;
    });
  }

  /** As often as it was made. */
  end(): void {
    this.#view.leave();
  }

  #took(rows: readonly SnapshotImage[], count: number, ms: number): void {
    if (count > 0) this.#after = rows[count - 1]!;
    if (count === rows.length && rows.length < this.#limit) {
      this.#table++;
      this.#after = null;
    }
    const isShort = count === rows.length && ms <= TURN_MS;
    this.#limit = isShort ? Math.min(MOST, 2 * this.#limit) : Math.max(LEAST, this.#limit >> 1);
  }
}
