import type { Complain } from '../lib/complaints.ts';
import type { Logger } from '../lib/logger.ts';
import type { FeedPlace } from './cursor.ts';
import { Follower, type Followed } from './follower.ts';
import { FeedReader } from './reader.ts';
import { RecentChanges } from './recent.ts';
import type { FeedSource, OpenSource } from './source.ts';
import type { FeedState } from './state.ts';
import { Wake } from './wake.ts';

export interface FeedOptions {
  sources: readonly FeedSource[];
  /** Changes kept in memory for all who follow; who is further behind reads the log. */
  windowChanges: number;
  /** Undefined: it is known which timeline of the primary changes are of, which their cursors say. Else resolves when it is. */
  settled: () => Promise<void> | undefined;
  log: Logger;
  complain: Complain;
}

/** The change feed of the process: one reader, a window of what it read, and any number of followers. */
export class Feed implements Followed {
  readonly recent: RecentChanges;
  readonly #reader: FeedReader;
  readonly #moved = new Wake();
  #gaps = 0;
  #wasLive = false;

  constructor({ windowChanges, ...options }: FeedOptions) {
    this.recent = new RecentChanges(windowChanges);
    this.#reader = new FeedReader({ ...options, recent: this.recent, moved: () => this.#onMove() });
  }

  get state(): FeedState {
    return this.#reader.state;
  }

  get isLive(): boolean {
    return this.#reader.state.phase === 'live';
  }

  /** Live, and the replica that is read is no further behind the primary than that. */
  isLiveWithin(ms: number): boolean {
    return this.isLive && (this.open?.source.lagMs() ?? 0) <= ms;
  }

  /** How often the feed has ceased to be live so far: who has seen a lower number may have been owed something since. */
  get gaps(): number {
    return this.#gaps;
  }

  /** The log that can be read now. */
  get open(): OpenSource | undefined {
    return this.#reader.open;
  }

  /** Where the feed ends, as a cursor's parts; undefined until a log was found. */
  get end(): FeedPlace | undefined {
    const { logId } = this.#reader;
    return logId === undefined ? undefined : { ...this.recent.end, logId };
  }

  start(): void {
    this.#reader.start();
  }

  stop(): Promise<void> {
    return this.#reader.stop();
  }

  /** A replica's doorbell rang, or its state has changed. */
  rang(): void {
    this.#reader.rang();
  }

  /** A connection of the feed to this replica closed. */
  closed(name: string): void {
    this.#reader.closed(name);
  }

  /** Resolves when there is more, or the state has changed. */
  moved(): Promise<void> {
    return this.#moved.next();
  }

  /** Resolves when a log was found: until then there is no place to follow from. */
  async opened(): Promise<void> {
    while (!this.end && this.state.phase !== 'stopped') await this.moved();
  }

  /** Resolves when the first log was read from, or could not be. */
  async begun(): Promise<void> {
    while (this.state.phase === 'starting') await this.moved();
  }

  /** From a cursor on; without one, with what is read after this call. */
  follow(from = this.end): Follower {
    return new Follower(this, from);
  }

  #onMove(): void {
    if (this.#wasLive && !this.isLive) this.#gaps++;
    this.#wasLive = this.isLive;
    this.#moved.ring();
  }
}
