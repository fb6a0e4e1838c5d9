import type { Sql, Statement } from '../database/connect.ts';
import { forClient, isRefusal, isUnavailable } from '../database/errors.ts';
import { isViolation, told, type Knows } from '../database/violations.ts';
import { wordsOf, type Complain } from '../lib/complaints.ts';
import { ClientError } from '../lib/errors.ts';
import type { History } from '../lib/history.ts';
import type { Lsn } from '../lib/lsn.ts';
import { shared } from '../lib/shared.ts';
import { withinMs } from '../lib/within.ts';
import { identityOf, timelineEnds, type IdentityRow } from '../database/sql/identity.ts';
import { slotsSeen } from '../database/sql/slots.ts';
import { LagClock } from './lag.ts';
import { PlaceUnknown, write } from '../database/writes.ts';

export interface PrimaryConnections {
  /** As readback_writer. */
  writer: Sql;
  /** As readback_reader: for reads that no replica can answer. */
  reader: Sql;
  /** One connection as readback_reader that no reads wait on: identity and position. */
  watch: Sql;
}

export interface PrimaryOptions {
  /** An answer that takes longer says that the primary is away, as long as it has not come. */
  lookTimeoutMs: number;
  /** It did not answer in that time: connections to it are given up. */
  silent: () => void;
  /** A client waits for an answer of the primary for so long. */
  answerTimeoutMs: number;
  complain: Complain;
}

/** Where earlier timelines ended could not be read: that is asked for again so much later. */
const ENDS_AGAIN_MS = 60_000;
const REFUSED =
  'The primary refuses what it is asked: no room on its disk, no connection left, no writes. The error says which; only who runs it can help.';
const NO_LOOK = 'The primary does not say how far it is: it is taken for away.';
/** What clients are told names no table that they have not asked for. */
const NOTHING: Knows = () => false;
const NO_ENDS =
  'The primary does not tell its earlier timelines, so bookmarks and cursors from before a failover are refused. ' +
  'The error says why; readback doctor says more.';

/** The primary: writes, what is known of its position, and the heartbeat that moves the replicas along. */
export class Primary implements PrimaryConnections {
  readonly writer: Sql;
  readonly reader: Sql;
  readonly watch: Sql;
  readonly clock = new LagClock();
  readonly #options: PrimaryOptions;
  #history: History | undefined;
  /** A connection broke since it was looked last: another server may be the primary by now. */
  #isDoubtful = true;
  #reachable = false;
  /** Why the last look failed. */
  #silence: string | null = null;
  /** Why it refused what it was asked last. */
  #refusal: string | null = null;
  /** Why it is not known where earlier timelines ended. */
  #endsUnknown: string | null = null;
  #endsAskedAt = -Infinity;

  constructor({ writer, reader, watch }: PrimaryConnections, options: PrimaryOptions) {
    this.writer = writer;
    this.reader = reader;
    this.watch = watch;
    this.#options = options;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /** It answers, and has refused what it was asked last, for want of disk, memory or connections: why. */
  get refusal(): string | null {
    return this.#refusal;
  }

  /** What it does not tell, and why, in PostgreSQL's words; null where all is well. */
  get reason(): string | null {
    return this.#silence ?? (this.#endsUnknown && `its earlier timelines are not known: ${this.#endsUnknown}`);
  }

  /** Undefined until the primary was reached once. */
  get history(): History | undefined {
    return this.#history;
  }

  /** A connection to it broke. */
  lost(): void {
    this.#isDoubtful = true;
  }

  /** Undefined: it is known which timeline the primary is on. Else resolves when it is, or cannot be found out now. */
  settled(): Promise<void> | undefined {
    return this.#isDoubtful ? this.looked() : undefined;
  }

  /** Resolves when it has been asked where it is, be it there or not. */
  looked(): Promise<void> {
    const ended = () => undefined; // a failure is told by the look itself
    return this.flushedNow().then(ended, ended);
  }

  /**
   * Runs one writing statement, and returns its rows and the flushed position at or past its commit. What it breaks is told
   * by the names that the client knows.
   */
  async write<Row extends object>(
    statement: (sql: Sql) => Statement<Row>,
    knows: Knows,
  ): Promise<{ rows: readonly Row[]; lsn: Lsn }> {
    const written = write(this.writer, statement(this.writer)).catch((error: unknown) => {
      throw error instanceof PlaceUnknown ? withoutBookmark(error.cause) : error;
    });
    const { rows, flushed, timeline } = await this.answer(written, knows);
    this.#refusal = null;
    await this.#expect(parseInt(timeline, 16));
    this.#sawPosition(flushed);
    return { rows, lsn: flushed };
  }

  /**
   * What was asked of the primary for a client. One that has vanished from the network may never answer.
   * @throws ClientError PRIMARY_UNAVAILABLE, also where it has not answered in time: it may do what was asked yet.
   */
  async answer<T>(work: PromiseLike<T>, knows = NOTHING): Promise<T> {
    try {
      return await withinMs(work, this.#options.answerTimeoutMs);
    } catch (error) {
      this.#noteRefusal(error);
      throw isViolation(error) ? await told(error, this.writer, knows) : forClient(error, 'PRIMARY');
    }
  }

  #noteRefusal(error: unknown): void {
    if (!isRefusal(error)) return;
    this.#refusal = wordsOf(error);
    this.#options.complain(error, REFUSED);
  }

  /** The flushed position, asked for after this call: shared by all who call within one turn. */
  readonly flushedNow = shared(async (): Promise<Lsn> => {
    try {
      return await withinMs(this.#look(), this.#options.lookTimeoutMs);
    } catch (error) {
      this.#reachable = false;
      this.#silence = wordsOf(error);
      this.#options.complain(error, NO_LOOK);
      throw isUnavailable(error) ? forClient(error, 'PRIMARY') : withoutPosition(error);
    }
  });

  /** Writes the published heartbeat row; shared by all who ask while one is under way. It shows whether writes are taken, too. */
  readonly beat = shared(async (): Promise<void> => {
    try {
      await this.writer`update readback.heartbeat set beat_at = clock_timestamp()`;
      this.#refusal = null;
    } catch (error) {
      this.#noteRefusal(error);
      throw error;
    }
  });

  /** The replication slots, asked for after this call; shared like the position. */
  readonly slots = shared(() => slotsSeen(this.watch));

  async #look(): Promise<Lsn> {
    const flushed = await this.#lookOver(this.watch);
    this.#reachable = true;
    this.#silence = null;
    this.#isDoubtful = false;
    this.#sawPosition(flushed);
    return flushed;
  }

  async #lookOver(sql: Sql): Promise<Lsn> {
    const row = await this.#inTime(identityOf(sql));
    const { cluster, timeline } = this.#history ?? {};
    const isKnown = row.cluster === cluster && row.timeline === timeline;
    const isDue = this.#endsUnknown !== null && performance.now() - this.#endsAskedAt > ENDS_AGAIN_MS;
    if (!isKnown || isDue) this.#recognise(row, await this.#endsOver(sql));
    return row.flushed;
  }

  /** A server that has vanished from the network keeps its connections open: they are given up. */
  async #inTime<T>(asked: PromiseLike<T>): Promise<T> {
    const { lookTimeoutMs, silent } = this.#options;
    const timer = setTimeout(silent, lookTimeoutMs);
    try {
      return await asked;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Without them the present timeline is good all the same, and no earlier one is believed. */
  async #endsOver(sql: Sql): Promise<History['ends']> {
    this.#endsAskedAt = performance.now();
    try {
      const ends = await this.#inTime(timelineEnds(sql));
      this.#endsUnknown = null;
      return ends;
    } catch (error) {
      if (isUnavailable(error)) throw error;
      this.#endsUnknown = wordsOf(error);
      this.#options.complain(error, NO_ENDS);
      return new Map();
    }
  }

  /** Positions of another cluster or timeline do not compare with the ones sampled so far. */
  #recognise({ cluster, timeline }: IdentityRow, ends: History['ends']): void {
    if (cluster !== this.#history?.cluster || timeline !== this.#history.timeline) this.clock.forget();
    this.#history = { cluster, timeline, ends };
  }

  /**
   * Before a position of another timeline is handed out, the history is to be known: it goes into the bookmark. Where the
   * watch is not answered, the connections that have just written may be.
   * @throws ClientError PRIMARY_UNAVAILABLE: the write is done, and nothing can be given out by which a read would see it.
   */
  async #expect(timeline: number): Promise<void> {
    if (timeline === this.#history?.timeline) return;
    try {
      await this.flushedNow().catch(() => this.answer(this.#lookOver(this.writer)));
    } catch (error) {
      throw withoutBookmark(error);
    }
  }

  #sawPosition(lsn: Lsn): void {
    this.clock.add(performance.now(), lsn);
  }
}

const withoutPosition = (cause: unknown) =>
  new ClientError(
    'PRIMARY_UNAVAILABLE',
    "The primary answers, and does not say how far it is: try again soon; the server's log says why.",
    { cause },
  );

const withoutBookmark = (cause: unknown) =>
  new ClientError(
    'PRIMARY_UNAVAILABLE',
    'The write is done, and the primary does not say where, so no read could be asked to see it: look what is there before you write again.',
    { cause },
  );
