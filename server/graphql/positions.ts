import { badCursor, decodeCursor, encodeCursor, type FeedCursor, type FeedPlace } from '../feed/cursor.ts';
import { ClientError } from '../lib/errors.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import type { Router } from '../reads/router.ts';
import { badBookmark, decodeBookmark, encodeBookmark } from '../replication/bookmark.ts';
import type { Primary } from '../replication/primary.ts';

/** Which ones they are may depend on the cluster, which is then asked for first. */
export type Bookmarks = readonly string[] | ((cluster: bigint) => readonly string[]);

/** Several, separated by commas: the greatest counts. For clients that have requests under way at once. */
export const bookmarkList = (text: string) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

const MOST_BOOKMARKS = 10;

/** Until the primary was reached once. */
const UNKNOWN = { cluster: 0n, timeline: 0 };

/** Positions and places in the feed as clients hold them, for the history of this primary. */
export class Positions {
  readonly #primary: Primary;
  readonly #router: Router;

  constructor(primary: Primary, router: Router) {
    this.#primary = primary;
    this.#router = router;
  }

  /** Without a history it would be none: a read that carries it would see less than its client believes. */
  bookmark(lsn: Lsn): string {
    const { history } = this.#primary;
    if (history) return encodeBookmark(history, lsn);
    throw new ClientError(
      'PRIMARY_UNAVAILABLE',
      'The primary was not reached yet, so no bookmark can be given out: try again soon.',
    );
  }

  /** The greatest; null where there is none. @throws ClientError BAD_BOOKMARK */
  async latestOf(bookmarks: Bookmarks): Promise<Lsn | null> {
    const texts = typeof bookmarks === 'function' ? bookmarks(await this.#cluster()) : bookmarks;
    if (texts.length > MOST_BOOKMARKS) throw badBookmark(`list is longer than ${MOST_BOOKMARKS}`);
    if (texts.length === 0) return null;
    const positions = await Promise.all(texts.map((text) => this.readBookmark(text)));
    return positions.reduce(later);
  }

  async #cluster(): Promise<bigint> {
    if (!this.#primary.history) await this.#primary.flushedNow();
    return this.#primary.history!.cluster;
  }

  /** A position that the primary has not reached was never given out: nobody waits for it. @throws ClientError BAD_BOOKMARK */
  async readBookmark(text: string): Promise<Lsn> {
    await this.#cluster();
    const lsn = decodeBookmark(text, this.#primary.history!);
    if (!this.#isReached(lsn) && lsn > (await this.#primary.flushedNow()))
      throw badBookmark("is beyond the end of the primary's log");
    return lsn;
  }

  /** `isPartial`: with a snapshot's row, before its end. */
  cursor(place: FeedPlace, isPartial = false): string {
    return encodeCursor({ ...place, ...(this.#primary.history ?? UNKNOWN), isPartial });
  }

  /**
   * With the primary away nobody knows: the subscription waits, as it would for a replica.
   * @throws ClientError BAD_CURSOR or CURSOR_EXPIRED
   */
  async readCursor(text: string): Promise<FeedCursor> {
    const cursor = decodeCursor(text, this.#primary.history);
    if (this.#isReached(cursor.lsn)) return cursor;
    const flushed = await this.#primary.flushedNow().catch(() => null); // the look tells why
    if (flushed !== null && cursor.lsn > flushed && !this.#router.isApplied(cursor.lsn))
      throw badCursor("is beyond the end of the primary's log");
    // The look may have found out which timelines there are.
    return decodeCursor(text, this.#primary.history);
  }

  /** As far as this server knows: another one may have given out what this one has yet to hear of. */
  #isReached(lsn: Lsn): boolean {
    const { latest } = this.#primary.clock;
    return (latest !== null && lsn <= latest) || this.#router.isApplied(lsn);
  }
}
