import { setImmediate as turn } from 'node:timers/promises';
import type { FeedPlace } from '../cursor.ts';
import type { SnapshotRow } from '../snapshot.ts';
import type { OpenSource } from '../source.ts';
import type { FeedEvent, FeedRequest, Latest } from '../stream.ts';
import { asClientError, ClientError } from '../../lib/errors.ts';
import { comparePositions } from '../../lib/position.ts';
import type { Group, Member, Told } from './group.ts';
import { Outlet, type OutletOptions, type Sink } from './outlet.ts';

/** Where a subscription's events go: a socket, and the id that its client gave the subscription. */
export interface Channel {
  connection: Sink;
  id: string;
}

const notNow = (what: string, cause?: unknown) =>
  new ClientError('REPLICA_UNAVAILABLE', `No replica can be read for ${what} now: try again soon.`, { cause });

/** After so many changes others have their turn. */
const OTHERS_TURN = 64;
/** A client that is waited for longer is slow: what was read for it ahead is let go. */
const PATIENCE_MS = 100;

/**
 * One subscription on one socket. It holds its place in the feed, and never a queue: what it misses it reads again. While
 * it is live nothing waits here, and it holds little else: there are many of them.
 */
export class Subscriber implements Member {
  readonly own: string;
  readonly spender: string;
  readonly group: Group;
  /** Told once, with the error where it has failed. */
  readonly #ended: (error?: unknown) => void;
  readonly #outlet: Outlet;
  /** After what was sent last. */
  #place: FeedPlace | undefined;
  #markedGaps: number | undefined;
  #isClosed = false;
  /** While it follows the feed by itself: tells it that it was closed. */
  #wake: (() => void) | undefined;

  constructor(
    group: Group,
    { own, spender }: Pick<Member, 'own' | 'spender'>,
    { connection, id }: Channel,
    options: OutletOptions,
    ended: (error?: unknown) => void,
  ) {
    this.group = group;
    this.own = own;
    this.spender = spender;
    this.#outlet = new Outlet(connection, id, options);
    this.#ended = ended;
    group.enter();
  }

  /** Fails with CURSOR_EXPIRED, or REPLICA_UNAVAILABLE for a snapshot of no replica. */
  begin(request: FeedRequest): void {
    const { feed } = this.group;
    const { from } = request;
    this.#place = typeof from === 'object' && 'lsn' in from ? from : feed.end;
    void this.#follow(async () => {
      await this.#until(feed.opened());
      this.#place ??= feed.end;
      if (this.#isClosed) return false;
      if (typeof from === 'object' && 'latest' in from) return this.#sendLatest(from);
      if (from === 'snapshot') await this.#sendSnapshot(request);
      return this.#catchUp(from !== 'now');
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#wake) this.#wake();
    else this.#ended();
  }

  /** While live. */
  deliver(changes: readonly Told[]): void {
    const place = this.#place;
    const isAhead = place && comparePositions(changes[0]!.place, place) <= 0;
    const due = isAhead ? changes.filter((change) => comparePositions(change.place, place) > 0) : changes;
    if (due.length === 0) return;
    this.#place = due[this.#outlet.send(due) - 1]!.place;
    if (this.#outlet.isFull) this.part();
  }

  /** Whoever is ahead of the group is told when the group is there. */
  isOwedMark(place: FeedPlace, gaps: number): boolean {
    return this.#markedGaps !== gaps && !(this.#place !== undefined && comparePositions(this.#place, place) > 0);
  }

  mark(tail: string, gaps: number): void {
    this.#markedGaps = gaps;
    this.#outlet.send([{ tail }]);
  }

  fail(error: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ended(error);
  }

  part(): void {
    this.group.part(this);
    void this.#follow(async () => {
      await this.#outlet.drained();
      return this.#catchUp();
    });
  }

  /** By itself, until it has joined the group, which `goOn` then says, or is closed. */
  async #follow(goOn: () => Promise<boolean>): Promise<void> {
    this.#wake = () => {};
    this.#outlet.paced(true);
    try {
      if (await goOn()) return;
      this.#ended();
    } catch (error) {
      this.#isClosed = true;
      this.#ended(error);
    }
  }

  /**
   * `isClaimed`: its place may be of another log. True: it is live. Nothing is awaited between that and the group's next
   * look, so the group's next change finds it so.
   */
  async #catchUp(isClaimed = false): Promise<boolean> {
    const follower = this.group.feed.follow(this.#place, isClaimed);
    for (let taken = 1; !this.#isClosed; taken++) {
      const change = follower.take();
      this.#place = follower.place;
      if (change) await this.#send({ kind: 'change', change });
      await this.#room(() => follower.letGo());
      if (this.#isClosed) break;
      if (this.group.join(this, this.#place)) {
        this.#wake = undefined;
        this.#outlet.paced(false);
        return true;
      }
      if (!change) await this.#until(follower.wait());
      if (taken % OTHERS_TURN === 0) await turn();
    }
    return false;
  }

  /**
   * So many changes as the log holds, where it holds fewer. It may be pruned after their place was found and before it is
   * read: as long as nothing of them was sent, they begin at what is left.
   */
  async #sendLatest({ latest }: Latest): Promise<boolean> {
    const what = 'the latest changes';
    const failed = (cause: unknown) => Promise.reject(notNow(what, cause));
    const place = (await this.#openFor(what).beforeLatest(latest).catch(failed)) ?? this.#place;
    this.#place = place;
    try {
      return await this.#catchUp(true);
    } catch (error) {
      if (asClientError(error)?.code !== 'CURSOR_EXPIRED' || this.#place !== place) throw error;
      return this.#sendLatest({ latest });
    }
  }

  #openFor(what: string): OpenSource {
    const { open } = this.group.feed;
    if (!open) throw notNow(what);
    return open;
  }

  async #sendSnapshot({ tables }: FeedRequest): Promise<void> {
    const snapshot = this.#openFor('a snapshot').snapshot(tables);
    try {
      while (!this.#isClosed && (await snapshot.next((rows) => this.#sendRows(rows)))) await this.#room();
      this.#place = snapshot.place;
    } finally {
      snapshot.end();
    }
    await this.#room();
  }

  /** Returns how many were sent. */
  async #sendRows(rows: readonly SnapshotRow[]): Promise<number> {
    if (this.#isClosed) return rows.length;
    const rendered = await Promise.all(rows.map(async (row) => this.#render({ kind: 'row', row })));
    // Without those that are not for them; each with the rows up to it.
    const messages = rendered.flatMap((tail, n) => (tail ? [{ tail, rows: n + 1 }] : []));
    if (messages.length === 0 || this.#isClosed) return rows.length;
    const count = this.#outlet.send(messages);
    return count === messages.length ? rows.length : messages[count - 1]!.rows;
  }

  async #send(event: FeedEvent): Promise<void> {
    const tail = await this.#render(event);
    if (tail !== null && !this.#isClosed) this.#outlet.send([{ tail }]);
  }

  /** For itself, so that it pays. */
  #render(event: FeedEvent): Promise<string> | null {
    return this.group.render(event, this.own, () => (this.#isClosed ? [] : [this.spender]));
  }

  /** Waits while the socket is full, and holds little meanwhile. */
  async #room(letGo?: () => void): Promise<void> {
    if (!this.#outlet.isFull) return;
    const timer = letGo && setTimeout(letGo, PATIENCE_MS);
    await this.#until(this.#outlet.drained());
    clearTimeout(timer);
  }

  /** Resolves also when it is closed. No race with a promise of that: such a promise would hold each wait until then. */
  async #until(work: Promise<void>): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      work.then(resolve, reject);
    });
  }
}
