import { setImmediate as turn } from 'node:timers/promises';
import type { FeedPlace } from '../cursor.ts';
import type { Feed } from '../feed.ts';
import type { Follower } from '../follower.ts';
import type { FeedChange } from '../recent.ts';
import type { FeedEvent, FeedStream } from '../stream.ts';
import { Wake } from '../wake.ts';
import { asBytes } from './outlet.ts';
import { Asking, Renderings, type Rendered, type Some } from './renderings.ts';
import { comparePositions } from '../../lib/position.ts';
import type { Payers } from '../../lib/budget.ts';

/**
 * Executes the group's operation on an event, for an audience, when one of those who want it can pay; the result as JSON. A
 * failure is a result, too.
 */
export type Render = (event: FeedEvent, audience: string, payers: Payers) => Promise<string>;

/** What an event comes to. */
export interface Rendering {
  render: Render;
  /** Rows that it may read. */
  cost: number;
}

/** A change, as one audience is told of it: the end of the message, and the place after it. */
export interface Told {
  readonly tail: string;
  readonly place: FeedPlace;
}

/** A subscriber, as its group sees it. */
export interface Member {
  /** Its audience for events that are partly its own; for all others it is ''. */
  readonly own: string;
  /** Who pays for its events: alone, or as one of those for whom they are rendered. */
  readonly spender: string;
  /** The next changes, one at least, but for those that it has already. */
  deliver: (changes: readonly Told[]) => void;
  /** It does not know yet that nothing is owed up to there. */
  isOwedMark: (place: FeedPlace, gaps: number) => boolean;
  mark: (tail: string, gaps: number) => void;
  /** It is live no more, and follows by itself. */
  part: () => void;
  /** It gets nothing more, and its client is told why. */
  fail: (error: unknown) => void;
}

/** Changes that are rendered at once: their relations are read together. Fewer, where they read many: the first is sent when the last is there. */
const [AHEAD, AHEAD_ROWS] = [32, 1000];
/** And fewer where they are long, by what the last ones were. */
const AHEAD_BYTES = 1_048_576;
/** After so long others have their turn. */
const SLICE_MS = 5;

/**
 * Subscribers that want the same. Those who are where the group is get each event as it comes; the others follow by
 * themselves, and join when they have caught up.
 */
export class Group {
  readonly key: string;
  readonly feed: Feed;
  readonly #stream: FeedStream;
  readonly #render: Render;
  readonly #ahead: number;
  readonly #follower: Follower;
  readonly #live = new Set<Member>();
  /** The same, by whom they are where they may own something, else ''. */
  readonly #byOwn = new Map<string, Set<Member>>();
  readonly #joined = new Wake();
  readonly #renderings = new Renderings();
  /** Of an event as it is sent: of the longest of the last ones. */
  #bytes = 1;
  /** Everything up to here was handed to those who were live. */
  #sent: FeedPlace | undefined;
  #members = 0;
  #isOver = false;
  #failure: { error: unknown } | undefined;

  constructor(key: string, feed: Feed, stream: FeedStream, { render, cost }: Rendering) {
    this.key = key;
    this.feed = feed;
    this.#stream = stream;
    this.#render = render;
    this.#ahead = Math.max(1, Math.min(AHEAD, Math.floor(AHEAD_ROWS / cost)));
    this.#follower = feed.follow();
    this.#run().catch((error: unknown) => this.fail(error));
  }

  /** Nobody can join it any more. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  enter(): void {
    this.#members++;
  }

  /** True where it was the last one: the group is over. */
  leave(subscriber: Member): boolean {
    this.part(subscriber);
    this.#members--;
    this.#isOver = this.#members === 0;
    if (this.#isOver) this.#joined.ring();
    return this.#isOver;
  }

  /**
   * Takes in whoever has everything that was sent so far. Nothing is awaited between that look and the next change, which
   * skips those who have it already: each change reaches each of them once.
   * @throws what the group has failed with.
   */
  join(subscriber: Member, at: FeedPlace | undefined): boolean {
    if (this.#failure) throw this.#failure.error;
    if (!at || !this.#sent || comparePositions(at, this.#sent) < 0) return false;
    this.#live.add(subscriber);
    const same = this.#byOwn.get(subscriber.own) ?? new Set();
    this.#byOwn.set(subscriber.own, same.add(subscriber));
    this.#joined.ring();
    return true;
  }

  part(subscriber: Member): void {
    if (!this.#live.delete(subscriber)) return;
    const same = this.#byOwn.get(subscriber.own)!;
    same.delete(subscriber);
    if (same.size === 0) this.#byOwn.delete(subscriber.own);
  }

  /**
   * The end of the message for a subscriber, made once for all of its audience; null where it is not for them. `payers` are
   * those who ask for it.
   */
  render(event: FeedEvent, own: string, payers: Some): Promise<string> | null {
    return this.#renderFor(event, this.#stream.audienceOf(event, own), payers);
  }

  #renderFor(event: FeedEvent, audience: string, payers: Some): Promise<string> | null {
    const kept = event.kind === 'change' ? this.#renderings.get(event.change, audience) : undefined;
    kept?.asking?.add(payers);
    if (kept) return kept.payload;
    const shown = this.#stream.for(event, audience);
    if (!shown) return null;
    const made = this.#begin(shown, audience, new Asking(payers));
    if (event.kind === 'change') this.#renderings.keep(event.change, audience, made);
    return made.payload;
  }

  #begin(event: FeedEvent, audience: string, asking: Asking): Rendered {
    const payload = this.#render(event, audience, asking).then((text) => {
      made.asking = undefined;
      return asBytes(`${text}}`);
    });
    const made: Rendered = { payload, asking };
    return made;
  }

  isOf(table: string): boolean {
    return this.#stream.request.tables.some(({ name }) => name === table);
  }

  /** Its subscribers are ended with that. Those who follow by themselves hear of it when they want to join. */
  fail(error: unknown): void {
    this.#failure = { error };
    for (const subscriber of this.#live) subscriber.fail(error);
  }

  /** A group whose place is not kept any more goes on, while its subscribers find out for themselves. */
  async #run(): Promise<void> {
    await this.feed.opened();
    this.#sent = this.#follower.place ?? this.feed.end;
    for (let since = performance.now(); !this.#isOver;) {
      const changes = this.#takeSome();
      if (changes.length > 0) await this.#send(changes);
      else await this.#idle();
      if (changes.length > 0 && performance.now() - since < SLICE_MS) continue;
      await turn();
      since = performance.now();
    }
  }

  #takeSome(): FeedChange[] {
    const changes: FeedChange[] = [];
    const most = Math.max(1, Math.min(this.#ahead, Math.floor(AHEAD_BYTES / this.#bytes)));
    while (changes.length < most) {
      const change = this.#follower.take();
      if (!change) break;
      changes.push(change);
    }
    return changes;
  }

  async #send(changes: FeedChange[]): Promise<void> {
    const rendered = changes.map((change) => new RenderedChange(change, this.#stream));
    // Whoever joins while these are rendered is owed them too, and may be of another audience.
    for (let due = this.#due(rendered); due.length > 0; due = this.#due(rendered)) await Promise.all(due);
    this.#bytes = Math.max(1, ...rendered.map(({ bytes }) => bytes));
    this.#tell(rendered);
    this.#sent = rendered.at(-1)!.place;
  }

  /** What an audience is told is put together once for all of it. */
  #tell(changes: readonly RenderedChange[]): void {
    const owners = new Set(changes.flatMap((change) => change.owners));
    const toOthers = toldTo('', changes);
    for (const [own, members] of this.#byOwn) {
      const told = owners.has(own) ? toldTo(own, changes) : toOthers;
      if (told.length > 0) for (const subscriber of members) subscriber.deliver(told);
    }
  }

  /** What those who are live need, and is not made yet. */
  #due(changes: readonly RenderedChange[]): Promise<void>[] {
    return changes.flatMap((change) => {
      const owners = change.owners.filter((owner) => this.#byOwn.has(owner));
      const owning = owners.reduce((sum, owner) => sum + this.#byOwn.get(owner)!.size, 0);
      const audiences = owning < this.#live.size ? ['', ...owners] : owners;
      return audiences.filter((audience) => !change.has(audience)).map((audience) => this.#make(change, audience));
    });
  }

  async #make(change: RenderedChange, audience: string): Promise<void> {
    change.set(audience, await this.#renderFor(change.event, audience, () => this.#payersFor(change, audience)));
  }

  /** Those who are live and belong to the audience, each once. */
  *#payersFor(change: RenderedChange, audience: string): Iterable<string> {
    const asked = new Set<string>();
    for (const [own, members] of this.#byOwn) {
      if (change.audienceOf(own) !== audience) continue;
      for (const { spender } of members) {
        if (!asked.has(spender)) yield spender;
        asked.add(spender);
      }
    }
  }

  /** What moves while marks are sent is seen all the same: the promises are older than the look. */
  async #idle(): Promise<void> {
    const news = [this.feed.moved(), this.#joined.next()];
    if (!this.#follower.isCaughtUp) return this.#waitBehind();
    this.#sent = this.#follower.place;
    await this.#mark(this.#sent!);
    await Promise.race(news);
  }

  /** What follows is not kept any more: those who need it find out for themselves, the group goes on from the end. */
  async #waitBehind(): Promise<void> {
    try {
      await this.#follower.wait();
    } catch {
      // CURSOR_EXPIRED, which says just that.
      this.#follower.restart();
      this.#sent = this.#follower.place;
      for (const subscriber of this.#live) subscriber.part();
    }
  }

  /** Tells those who do not know it yet that nothing is owed. */
  async #mark(place: FeedPlace): Promise<void> {
    const { gaps } = this.feed;
    if (!this.#stream.request.wantsMarks) return;
    const owed = [...this.#live].filter((subscriber) => subscriber.isOwedMark(place, gaps));
    if (owed.length === 0) return;
    const payers = () => owed.map(({ spender }) => spender);
    const payload = await this.#renderFor({ kind: 'caughtUp', place, at: new Date().toISOString() }, '', payers);
    // Only those who are live still, and not ahead by now: a cursor never goes back.
    for (const subscriber of owed) {
      if (this.#live.has(subscriber) && subscriber.isOwedMark(place, gaps)) subscriber.mark(payload!, gaps);
    }
  }
}

const toldTo = (own: string, changes: readonly RenderedChange[]): Told[] =>
  changes.flatMap((change) => {
    const tail = change.tailFor(own);
    return tail ? [{ tail, place: change.place }] : [];
  });

/** A change, and the ends of the messages that tell each audience of it. */
class RenderedChange {
  readonly event: FeedEvent & { kind: 'change' };
  readonly place: FeedPlace;
  /** Audiences other than ''. */
  readonly owners: readonly string[];
  /** Null: it is not for them. */
  readonly #tails = new Map<string, string | null>();

  constructor(change: FeedChange, stream: FeedStream) {
    this.event = { kind: 'change', change };
    this.place = { ...change.position, logId: change.logId };
    this.owners = stream.ownersIn(this.event);
  }

  /** Of the longest. */
  get bytes(): number {
    return Math.max(0, ...Array.from(this.#tails.values(), (tail) => tail?.length ?? 0));
  }

  has(audience: string): boolean {
    return this.#tails.has(audience);
  }

  set(audience: string, tail: string | null): void {
    this.#tails.set(audience, tail);
  }

  tailFor(own: string): string | null | undefined {
    return this.#tails.get(this.audienceOf(own));
  }

  audienceOf(own: string): string {
    return this.owners.includes(own) ? own : '';
  }
}
