import { setImmediate as turn } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import type { FeedPlace } from '../../feed/cursor.ts';
import { snapshot } from '../../feed/snapshot.ts';
import type { FeedEvent, FeedStream } from '../../feed/stream.ts';
import { ClientError } from '../../lib/errors.ts';
import { comparePositions } from '../../lib/position.ts';
import type { Group, Member } from './group.ts';
import { Outlet, type OutletOptions } from './outlet.ts';

/** Where a subscription's events go: a socket, and the id that its client gave the subscription. */
export interface Channel {
  socket: WebSocket;
  id: string;
}

/** After so many changes others have their turn. */
const OTHERS_TURN = 64;

/** One subscription on one socket. It holds its place in the feed, and never a queue: what it misses it reads again. */
export class Subscriber implements Member {
  readonly #group: Group;
  readonly #stream: FeedStream;
  readonly #outlet: Outlet;
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;
  /** Behind what was sent last. */
  #place: FeedPlace | undefined;
  #markedGaps: number | undefined;
  /** Resolves when it is live no more: the socket is full, or all is over. */
  #parted = Promise.withResolvers<void>();

  constructor(group: Group, stream: FeedStream, { socket, id }: Channel, options: OutletOptions) {
    this.#group = group;
    this.#stream = stream;
    this.#outlet = new Outlet(socket, id, options);
    group.enter();
    const { from } = stream.request;
    this.#place = from === 'now' || from === 'snapshot' ? group.feed.end : from;
  }

  /** Ends when it is closed. @throws ClientError CURSOR_EXPIRED, or REPLICA_UNAVAILABLE for a snapshot of no replica. */
  async run(): Promise<void> {
    await Promise.race([this.#group.feed.opened(), this.#closed.promise]);
    this.#place ??= this.#group.feed.end;
    if (this.#stream.request.from === 'snapshot' && !this.#isClosed) await this.#sendSnapshot();
    while (!this.#isClosed) {
      await this.#catchUp();
      await this.#parted.promise;
      await this.#outlet.drained();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#closed.resolve();
    this.#parted.resolve();
  }

  audienceOf(event: FeedEvent): string {
    return this.#stream.audienceOf(event);
  }

  /** While live: the next change, unless it was sent already. */
  deliver(payload: string, place: FeedPlace): void {
    if (this.#place && comparePositions(place, this.#place) <= 0) return;
    this.#place = place;
    if (this.#outlet.send(payload)) return;
    this.#group.part(this);
    this.#parted.resolve();
  }

  /** Whoever is ahead of the group is told when the group is there. */
  isOwedMark(place: FeedPlace, gaps: number): boolean {
    const isAhead = this.#place !== undefined && comparePositions(this.#place, place) > 0;
    return this.#stream.request.wantsMarks && this.#markedGaps !== gaps && !isAhead;
  }

  mark(payload: string, gaps: number): void {
    this.#markedGaps = gaps;
    this.#outlet.send(payload);
  }

  part(): void {
    this.#parted.resolve();
  }

  /** Until it has joined the group, or is closed. */
  async #catchUp(): Promise<void> {
    const follower = this.#group.feed.follow(this.#place);
    this.#parted = Promise.withResolvers();
    for (let taken = 1; !this.#isClosed; taken++) {
      const change = follower.take();
      this.#place = follower.place;
      if (change) await this.#send({ kind: 'change', change });
      if (this.#group.join(this, this.#place)) return;
      if (!change) await Promise.race([follower.wait(), this.#closed.promise]);
      if (taken % OTHERS_TURN === 0) await turn();
    }
    this.#parted.resolve();
  }

  async #sendSnapshot(): Promise<void> {
    const { open } = this.#group.feed;
    if (!open)
      throw new ClientError('REPLICA_UNAVAILABLE', 'No replica can be read for a snapshot now: try again soon.');
    const rows = snapshot(open, this.#stream.request.tables);
    let next = await rows.next();
    for (; !next.done && !this.#isClosed; next = await rows.next()) await this.#send({ kind: 'row', row: next.value });
    if (next.done) this.#place = next.value;
    else await rows.return(next.value.place);
  }

  async #send(event: FeedEvent): Promise<void> {
    const payload = await this.#group.render(event, this.audienceOf(event));
    if (payload !== null && !this.#isClosed && !this.#outlet.send(payload)) await this.#outlet.drained();
  }
}
