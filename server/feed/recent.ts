import type { Lsn } from '../lib/lsn.ts';
import { comparePositions, latest, type Position } from '../lib/position.ts';
import type { ChangeRow } from '../database/sql/change-log.ts';

/** A change as it was read back from a replica. */
export interface FeedChange extends Omit<ChangeRow, 'formerKey'> {
  position: Position;
  /** The log that it was read from. */
  logId: bigint;
  /** A position at or past it: a read that has reached it sees this change. */
  seen: Lsn;
}

/** Characters of the changes that are kept in memory, as the log has them: few changes have that many. */
export const CHARACTERS_MAX = 50_000_000;

/** The latest changes, shared by all who follow: a bounded window that ends at the reader's position. */
export class RecentChanges {
  readonly #most: number;
  #changes: FeedChange[] = [];
  /** Characters of them all. */
  #size = 0;
  /** After it everything up to the end is here. */
  #start: Position = { lsn: 0n, place: 0 };
  #end: Position = { lsn: 0n, place: 0 };

  constructor(most: number) {
    this.#most = most;
  }

  get end(): Position {
    return this.#end;
  }

  push(changes: readonly FeedChange[]): void {
    if (changes.length === 0) return;
    this.#changes.push(...changes);
    this.#size += sizeOf(changes);
    this.#end = this.#changes.at(-1)!.position;
    // Cut in large steps: each moves what stays.
    if (this.#changes.length <= 2 * this.#most && this.#size <= 2 * CHARACTERS_MAX) return;
    const gone = this.#changes.splice(0, this.#surplus());
    this.#size -= sizeOf(gone);
    this.#start = gone.at(-1)!.position;
  }

  /** How many of the oldest are too many. The last one stays, however long it is. */
  #surplus(): number {
    let count = Math.max(0, this.#changes.length - this.#most);
    let size = this.#size - sizeOf(this.#changes.slice(0, count));
    for (; size > CHARACTERS_MAX && count < this.#changes.length - 1; count++) size -= this.#changes[count]!.size;
    return count;
  }

  /** Nothing was changed up to `end`. */
  advance(end: Position): void {
    this.#end = latest(this.#end, end);
  }

  /** Everything before `end` is somewhere else. */
  restart(end: Position): void {
    this.#changes = [];
    this.#size = 0;
    this.#start = end;
    this.#end = end;
  }

  /** The first change after `position`; undefined where there is none yet, `gone` where it may have left the window. */
  after(position: Position): FeedChange | 'gone' | undefined {
    if (comparePositions(position, this.#start) < 0) return 'gone';
    return this.#changes[this.#indexAfter(position)];
  }

  #indexAfter(position: Position): number {
    let [low, high] = [0, this.#changes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (comparePositions(this.#changes[middle]!.position, position) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

const sizeOf = (changes: readonly FeedChange[]) => changes.reduce((sum, { size }) => sum + size, 0);
