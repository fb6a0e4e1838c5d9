import { setImmediate as turn } from 'node:timers/promises';
import { asClientError } from '../lib/errors.ts';
import { NOT_COMPLETE } from '../database/sql/change-log.ts';
import type { Complain } from '../lib/complaints.ts';
import type { Logger } from '../lib/logger.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Position } from '../lib/position.ts';
import { withinMs } from '../lib/within.ts';
import type { FeedPlace } from './cursor.ts';
import { Follower, type Followed } from './follower.ts';
import { RecentChanges, type FeedChange } from './recent.ts';
import { beforeCopy, FeedFault, openSource, type FeedSource, type OpenSource } from './source.ts';
import { feedStep, type FeedState, type FeedStep } from './state.ts';
import { Wake } from './wake.ts';

export interface FeedOptions {
  /** All replicas; the first of those that are equally well is read. */
  sources: readonly FeedSource[];
  /** Changes kept in memory for all who follow; who is further behind reads the log. */
  windowChanges: number;
  /** Undefined: it is known which timeline of the primary changes are of, which their cursors say. Else resolves when it is. */
  settled: () => Promise<void> | undefined;
  log: Logger;
  complain: Complain;
}

/** Rows of the log: at times they are more changes. */
const BATCH = 500;
/** The doorbell wakes at once; this is for one that was not heard. */
const POLL_MS = 1000;
const RETRY_MS = 200;
/** Changes wait no longer than this for a primary that is away. */
const SETTLE_MS = 1000;
const STOP_MS = 500;
/** So long a replica that failed comes after all others. */
const AVOID_MS = 10_000;
const RANKS = { growing: 0, standing: 1, away: 2 };
const CHECK_FAULTS_MS = 10_000;
/** So long replicas that refuse the position wait for another to take it. Then the feed starts again from its end. */
const PATIENCE_MS = 30_000;

/**
 * The change feed of the process, and any number of followers. It reads one replica's change log into the window that all
 * of them share, and goes on from another one when that goes away. LISTEN comes first: whatever is committed before it is
 * found by the read after it.
 */
export class Feed implements Followed {
  readonly recent: RecentChanges;
  readonly #options: FeedOptions;
  /** Rings when some log may have more. */
  readonly #bell = new Wake();
  #hasRung = false;
  /** Rings when changes were read, and at every change of the state. */
  readonly #moved = new Wake();
  #state: FeedState = { phase: 'starting' };
  #open: OpenSource | undefined;
  /** Whose position the window's end is; undefined until a log was found. */
  #logId: bigint | undefined;
  /** Positions from here on that another log gave out are good in the window: none while tables are copied, and later ones then. */
  #othersFrom: Lsn = 0n;
  /** The one that could not be read, or not be trusted, when it was tried last. */
  #failed: FeedSource | undefined;
  #failedAt = 0;
  #refusedSince: number | undefined;
  /** Replicas that have refused the position since. */
  readonly #refusals = new Set<FeedSource>();
  #gaps = 0;
  #wasLive = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: FeedOptions) {
    this.#options = options;
    this.recent = new RecentChanges(options.windowChanges);
  }

  get state(): FeedState {
    return this.#state;
  }

  get isLive(): boolean {
    return this.#state.phase === 'live';
  }

  /** Live, and the replica that is read is no further behind the primary than that. */
  isLiveWithin(ms: number): boolean {
    return this.isLive && (this.#open?.source.lagMs() ?? 0) <= ms;
  }

  /** How often the feed has ceased to be live so far: who has seen a lower number may have been owed something since. */
  get gaps(): number {
    return this.#gaps;
  }

  /** The log that can be read now. */
  get open(): OpenSource | undefined {
    return this.#open;
  }

  /** Where the feed ends, as a cursor's parts; undefined until a log was found. */
  get end(): FeedPlace | undefined {
    return this.#logId === undefined ? undefined : { ...this.recent.end, logId: this.#logId };
  }

  start(): void {
    const poll = setInterval(() => this.rang(), POLL_MS).unref();
    this.#ended = this.#run().finally(() => clearInterval(poll));
  }

  async stop(): Promise<void> {
    this.#step({ kind: 'stopped' });
    this.rang();
    // A read that waits for a replica that is away ends with its connections.
    await withinMs(this.#ended, STOP_MS).catch(() => undefined);
  }

  /** A doorbell: some log has grown, or some replica's state has changed. */
  rang(): void {
    this.#hasRung = true;
    this.#bell.ring();
  }

  /** A connection to the replica closed: after a crash its latest changes may come again, under other seq numbers. */
  closed(name: string): void {
    if (this.#open?.source.name === name) this.#open = undefined;
    this.rang();
  }

  /** Resolves when there is more, or the state has changed. */
  moved(): Promise<void> {
    return this.#moved.next();
  }

  /** Resolves when a log was found: until then there is no place to follow from. */
  async opened(): Promise<void> {
    while (!this.end && this.#state.phase !== 'stopped') await this.moved();
  }

  /** Resolves when the first log was read from, or could not be. */
  async begun(): Promise<void> {
    while (this.#state.phase === 'starting') await this.moved();
  }

  /** From a place on; without one, with what is read after this call. `isClaimed`: the place may be of another log. */
  follow(from = this.end, isClaimed = false): Follower {
    return new Follower(this, from, isClaimed);
  }

  /** @throws ClientError CURSOR_EXPIRED where the place is of a log that may name changes otherwise. */
  assertNamed({ logId, lsn }: FeedPlace): void {
    if (logId !== this.#logId && lsn < this.#othersFrom) throw beforeCopy();
  }

  async #run(): Promise<void> {
    while (this.#state.phase !== 'stopped') {
      const source = this.#best();
      if (source) await this.#readFrom(source).catch((error: unknown) => this.#lost(source, error));
      else this.#step({ kind: 'lost', reason: 'no replica can be read' });
      this.#open = undefined;
      if (this.#state.phase === 'degraded') await this.#retry();
    }
  }

  async #retry(): Promise<void> {
    const timer = setTimeout(() => this.rang(), RETRY_MS);
    await this.#woken();
    clearTimeout(timer);
  }

  /** One that grows rather than one that stands; the one that is read already rather than another; the one that failed last of all. */
  #best(): FeedSource | undefined {
    const failed = Date.now() - this.#failedAt < AVOID_MS ? this.#failed : undefined;
    const fitness = (source: FeedSource) => (source === failed ? RANKS.away : RANKS[source.fitness()]);
    const current = this.#open?.source;
    if (current && fitness(current) === RANKS.growing) return current;
    const candidates = this.#options.sources.filter((source) => source.fitness() !== 'away');
    return candidates.toSorted((a, b) => fitness(a) - fitness(b) || Number(b === current) - Number(a === current))[0];
  }

  async #readFrom(source: FeedSource): Promise<void> {
    const open = await openSource(source);
    const reading = open.read(source.reader, await this.#whereFrom(open));
    this.#open = open;
    this.#step({ kind: 'opened', source: source.name });
    this.#onMove(); // whoever waits for a log to read, whatever the phase was
    for (let checked = Date.now(); this.#goesOn(open);) {
      const settled = source.settled();
      const batch = await reading.next(BATCH);
      if (reading.hasBegun) this.#goesOnFrom(open, reading.othersFrom);
      if (batch.length > 0) await this.#settle();
      this.#publish(source, batch, settled, reading.hasMore);
      await this.#pause(reading.hasMore);
      if (Date.now() - checked < CHECK_FAULTS_MS) continue;
      await open.check();
      checked = Date.now();
    }
  }

  /** The window's end was found in its log, and is a position of it from now on. */
  #goesOnFrom(open: OpenSource, othersFrom: Lsn): void {
    this.#logId = open.logId;
    if (othersFrom === NOT_COMPLETE || this.#othersFrom === NOT_COMPLETE) this.#othersFrom = othersFrom;
    this.#refusedSince = undefined;
    this.#refusals.clear();
  }

  async #settle(): Promise<void> {
    const settled = this.#options.settled();
    if (settled) await withinMs(settled, SETTLE_MS).catch(() => undefined); // it is late, and its look tells why
  }

  #goesOn(open: OpenSource): boolean {
    return this.#state.phase !== 'stopped' && this.#open === open && this.#best() === open.source;
  }

  /** Where nothing came, everything up to what was settled before the read is known to hold nothing. */
  #publish(source: FeedSource, batch: FeedChange[], settled: Lsn | null, owes: boolean): void {
    this.recent.push(batch);
    if (batch.length === 0 && settled !== null) this.recent.advance({ lsn: settled, place: 0 });
    if (source.fitness() === 'growing') this.#step({ kind: 'read', owes });
    else this.#step({ kind: 'opened', source: source.name }); // it stands still: what the primary has more is owed
    if (batch.length > 0) this.#onMove();
  }

  /** The window's end; at the very start, the log's. */
  async #whereFrom(open: OpenSource): Promise<Position & { logId: bigint }> {
    if (this.#logId === undefined) {
      this.recent.restart(await open.end());
      this.#logId = open.logId;
    }
    return { ...this.recent.end, logId: this.#logId };
  }

  /** What is there already is read next, when others have had their turn. */
  async #pause(hasMore: boolean): Promise<void> {
    if (hasMore) await turn();
    else await this.#woken();
  }

  async #woken(): Promise<void> {
    if (!this.#hasRung) await this.#bell.next();
    this.#hasRung = false;
  }

  #lost(source: FeedSource, error: unknown): void {
    const isFault = error instanceof FeedFault;
    const reason = isFault ? error.message : `the change log of ${source.name} cannot be read`;
    this.#failed = source;
    this.#failedAt = Date.now();
    if (!isFault) this.#options.complain(error, `change feed: ${reason}`);
    else if (this.#state.phase !== 'degraded') this.#options.log.error({ err: error }, `change feed: ${reason}`);
    this.#step({ kind: 'lost', reason });
    if (asClientError(error)?.code === 'CURSOR_EXPIRED') this.#refused(source);
  }

  #refused(source: FeedSource): void {
    this.#refusedSince ??= Date.now();
    this.#refusals.add(source);
    const mayTake = this.#options.sources.some((other) => !this.#refusals.has(other));
    if (mayTake && Date.now() - this.#refusedSince < PATIENCE_MS) return;
    this.#options.log.error(
      { source: source.name },
      'change feed: no log holds what follows; starting again from its end',
    );
    this.#logId = undefined;
  }

  #step(step: FeedStep): void {
    const before = this.#state;
    this.#state = feedStep(before, step);
    if (before.phase !== this.#state.phase) this.#onMove();
  }

  #onMove(): void {
    if (this.#wasLive && !this.isLive) this.#gaps++;
    this.#wasLive = this.isLive;
    this.#moved.ring();
  }
}
