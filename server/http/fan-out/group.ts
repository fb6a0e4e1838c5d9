import { setImmediate as turn } from 'node:timers/promises';
import type { FeedPlace } from '../../feed/cursor.ts';
import type { Feed } from '../../feed/feed.ts';
import type { Follower } from '../../feed/follower.ts';
import type { FeedChange } from '../../feed/recent.ts';
import type { FeedEvent, FeedStream } from '../../feed/stream.ts';
import { Wake } from '../../feed/wake.ts';
import { comparePositions } from '../../lib/position.ts';

/** Executes the group's operation on an event, for an audience; the result as JSON. Never fails: a failure is a result, too. */
export type Render = (event: FeedEvent, audience: string) => Promise<string>;

/** A subscriber, as its group sees it. */
export interface Member {
  /** Those for whom the event looks as it does for this one. */
  audienceOf: (event: FeedEvent) => string;
  /** The next change, unless it has it already. */
  deliver: (payload: string, place: FeedPlace) => void;
  /** It does not know yet that nothing is owed up to there. */
  isOwedMark: (place: FeedPlace, gaps: number) => boolean;
  mark: (payload: string, gaps: number) => void;
  /** It is live no more, and follows by itself. */
  part: () => void;
}

/** Changes that are rendered at once: their relations are read together. */
const AHEAD = 32;
/** Rendered changes that are kept for those who are a little behind. */
const KEPT = 500;
/** After so long others have their turn. */
const SLICE_MS = 5;

/**
 * Subscribers that want the same. Those who are where the group is get each event as it comes; the others follow by
 * themselves, and join when they have caught up.
 */
export class Group {
  readonly feed: Feed;
  readonly #stream: FeedStream;
  readonly #render: Render;
  readonly #follower: Follower;
  readonly #live = new Set<Member>();
  readonly #joined = new Wake();
  /** By change, then by audience. */
  readonly #rendered = new Map<FeedChange, Map<string, Promise<string>>>();
  /** Everything up to here was handed to those who were live. */
  #sent: FeedPlace | undefined;
  #members = 0;
  #isOver = false;

  constructor(feed: Feed, stream: FeedStream, render: Render) {
    this.feed = feed;
    this.#stream = stream;
    this.#render = render;
    this.#follower = feed.follow();
    void this.#run();
  }

  enter(): void {
    this.#members++;
  }

  /** True where it was the last one: the group is over. */
  leave(subscriber: Member): boolean {
    this.#live.delete(subscriber);
    this.#members--;
    this.#isOver = this.#members === 0;
    if (this.#isOver) this.#joined.ring();
    return this.#isOver;
  }

  /**
   * Takes in whoever has everything that was sent so far. Nothing is awaited between that look and the next change, which
   * skips those who have it already: each change reaches each of them once.
   */
  join(subscriber: Member, at: FeedPlace | undefined): boolean {
    if (!at || !this.#sent || comparePositions(at, this.#sent) < 0) return false;
    this.#live.add(subscriber);
    this.#joined.ring();
    return true;
  }

  part(subscriber: Member): void {
    this.#live.delete(subscriber);
  }

  /** Once for all of an audience who ask for the same change; null where it is not for them. */
  render(event: FeedEvent, audience: string): Promise<string> | null {
    const kept = event.kind === 'change' ? this.#rendered.get(event.change)?.get(audience) : undefined;
    if (kept) return kept;
    const shown = this.#stream.for(event, audience);
    if (!shown) return null;
    const made = this.#render(shown, audience);
    if (event.kind === 'change') this.#keep(event.change, audience, made);
    return made;
  }

  #keep(change: FeedChange, audience: string, made: Promise<string>): void {
    const kept = this.#rendered.get(change) ?? new Map<string, Promise<string>>();
    this.#rendered.set(change, kept.set(audience, made));
    if (this.#rendered.size > KEPT) this.#rendered.delete(this.#rendered.keys().next().value!);
  }

  /** @throws never: a group whose place is not kept any more waits, while its subscribers find out for themselves. */
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
    while (changes.length < AHEAD) {
      const change = this.#follower.take();
      if (!change) break;
      changes.push(change);
    }
    return changes;
  }

  async #send(changes: FeedChange[]): Promise<void> {
    const events = changes.map((change) => ({ kind: 'change', change }) as const);
    for (const event of events) for (const audience of this.#audiencesOf(event)) void this.render(event, audience);
    for (const event of events) {
      const { position, logId } = event.change;
      const place = { ...position, logId };
      const payloads = new Map<string, string | null>();
      // Whoever joins while one is rendered is owed it too, and may be of another audience.
      for (let next = this.#without(payloads, event); next !== undefined; next = this.#without(payloads, event)) {
        const made = this.render(event, next);
        payloads.set(next, made && (await made));
      }
      for (const subscriber of this.#live) {
        const payload = payloads.get(subscriber.audienceOf(event));
        if (payload != null) subscriber.deliver(payload, place);
      }
      this.#sent = place;
    }
  }

  #audiencesOf(event: FeedEvent): Set<string> {
    const audiences = new Set<string>();
    for (const subscriber of this.#live) audiences.add(subscriber.audienceOf(event));
    return audiences;
  }

  /** An audience among those who are live that has no payload yet. */
  #without(payloads: ReadonlyMap<string, unknown>, event: FeedEvent): string | undefined {
    for (const audience of this.#audiencesOf(event)) if (!payloads.has(audience)) return audience;
    return undefined;
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
      this.#follower.restart();
      this.#sent = this.#follower.place;
      for (const subscriber of this.#live) subscriber.part();
      this.#live.clear();
    }
  }

  /** Tells those who do not know it yet that nothing is owed. */
  async #mark(place: FeedPlace): Promise<void> {
    const { gaps } = this.feed;
    const owed = [...this.#live].filter((subscriber) => subscriber.isOwedMark(place, gaps));
    if (owed.length === 0) return;
    const payload = await this.render({ kind: 'caughtUp', place, at: new Date().toISOString() }, '');
    // Only those who are live still, and not ahead by now: a cursor never goes back.
    for (const subscriber of owed) {
      if (this.#live.has(subscriber) && subscriber.isOwedMark(place, gaps)) subscriber.mark(payload!, gaps);
    }
  }
}
