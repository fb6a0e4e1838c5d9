import { setTimeout as sleep } from 'node:timers/promises';
import { asClientError } from '../lib/errors.ts';
import { comparePositions } from '../lib/position.ts';
import type { FeedPlace } from './cursor.ts';

import type { FeedChange, RecentChanges } from './recent.ts';
import type { LogReading, OpenSource } from './source.ts';

/** The feed, as whoever follows it sees it. */
export interface Followed {
  readonly recent: RecentChanges;
  /** Undefined until a log was found. */
  readonly end: FeedPlace | undefined;
  /** The log that can be read now. */
  readonly open: OpenSource | undefined;
  readonly isLive: boolean;
  /** @throws ClientError CURSOR_EXPIRED where the window may name changes otherwise than the log that the place is of. */
  assertNamed: (place: FeedPlace) => void;
  /** Resolves when there is more, or any of this has changed. */
  moved: () => Promise<void>;
}

const BATCH = 200;
const RETRY_MS = 200;

/**
 * One place in the feed that moves forward: every change after it, each once, in order. What has left the shared window
 * is read from the log; whoever follows holds a position, never a queue.
 */
export class Follower {
  readonly #feed: Followed;
  #place: FeedPlace | undefined;
  /** The place is one that somebody came with: it may be of another log than the window. */
  #isClaimed: boolean;
  #replay: { open: OpenSource; reading: LogReading } | undefined;
  /** Read from the log, in order, not taken yet. */
  #read: FeedChange[] = [];

  constructor(feed: Followed, place: FeedPlace | undefined, isClaimed = false) {
    this.#feed = feed;
    this.#place = place;
    this.#isClaimed = isClaimed;
  }

  /** After what was taken last; undefined where the feed has no log yet. */
  get place(): FeedPlace | undefined {
    return this.#place;
  }

  /** Everything that was read so far was taken, and the reader itself owes nothing. */
  get isCaughtUp(): boolean {
    const { isLive, recent } = this.#feed;
    return isLive && this.#read.length === 0 && this.#place !== undefined && recent.after(this.#place) === undefined;
  }

  /**
   * The next change at once; undefined where it must be waited for.
   * @throws ClientError CURSOR_EXPIRED where its place says nothing in the window.
   */
  take(): FeedChange | undefined {
    this.#place ??= this.#feed.end;
    if (!this.#place) return undefined;
    const next = this.#read.shift() ?? this.#inWindow(this.#place);
    if (next === 'gone') return undefined;
    if (next) this.#moveTo({ ...next.position, logId: next.logId });
    else this.#moveToEnd(this.#place);
    return next;
  }

  #inWindow(place: FeedPlace): FeedChange | 'gone' | undefined {
    const next = this.#feed.recent.after(place);
    if (this.#isClaimed && next !== 'gone') this.#feed.assertNamed(place);
    return next;
  }

  /** Nothing lies between its place and the feed's end. */
  #moveToEnd(place: FeedPlace): void {
    const { end } = this.#feed;
    if (end && comparePositions(end, place) > 0) this.#moveTo(end);
  }

  #moveTo(place: FeedPlace): void {
    this.#place = place;
    this.#isClaimed = false;
  }

  /**
   * Returns when `take` may have something.
   * @throws ClientError CURSOR_EXPIRED where what follows is not kept any more.
   */
  async wait(): Promise<void> {
    const { recent, open } = this.#feed;
    const moved = this.#feed.moved();
    const isBehind = this.#place !== undefined && recent.after(this.#place) === 'gone';
    if (isBehind && open && (await this.#readLog(this.#place!, open))) return;
    await moved;
  }

  /** Holds nothing of what it has read ahead: it is read again when it is wanted. */
  letGo(): void {
    this.#replay = undefined;
    this.#read = [];
  }

  /** Goes on from the feed's end, whatever lies between. */
  restart(): void {
    this.letGo();
    this.#place = this.#feed.end;
  }

  /** False: nothing there yet. A failure that is not the client's is the reader's to find out: it opens another log. */
  async #readLog(place: FeedPlace, open: OpenSource): Promise<boolean> {
    if (!this.#replay || this.#replay.open !== open || comparePositions(this.#replay.reading.position, place) !== 0) {
      // Another log, or it has moved on through the window since.
      this.#replay = { open, reading: open.read(open.source.replay, place) };
    }
    try {
      this.#read = await this.#replay.reading.next(BATCH);
      return this.#read.length > 0;
    } catch (error) {
      if (asClientError(error)) throw error;
      this.#replay = undefined;
      await sleep(RETRY_MS);
      return true;
    }
  }
}
