import type { Sql, Statement } from '../db/connect.ts';
import { forClient } from '../db/errors.ts';
import type { History } from '../lib/history.ts';
import { parseLsn, type Lsn } from '../lib/lsn.ts';
import { shared } from '../lib/shared.ts';
import { withinMs } from '../lib/within.ts';
import { notedOf, noteSeen, type Noted } from '../store/positions.ts';
import { endedTokens, type EndedToken } from '../store/renewals.ts';
import { slotRows } from '../store/slots.ts';
import { LagClock } from './lag.ts';
import { write } from './writes.ts';

export interface PrimaryConnections {
  /** As readback_writer. */
  writer: Sql;
  /** As readback_reader: for reads that no replica can answer. */
  reader: Sql;
  /** One connection as readback_reader that no reads wait on: identity and position. */
  watch: Sql;
}

interface IdentityRow {
  cluster: string;
  timeline: number;
  flushed: Lsn;
  /** null: as known. */
  ends: Record<string, string> | null;
}

export interface PrimaryOptions {
  /** An answer that takes longer says that the primary is away, as long as it has not come. */
  lookTimeoutMs: number;
  /** It did not answer in that time: connections to it are given up. */
  silent: () => void;
  /** A client waits for an answer of the primary for so long. */
  answerTimeoutMs: number;
}

/** The primary: writes, what is known of its position, and the heartbeat that moves the replicas along. */
export class Primary {
  readonly clock = new LagClock();
  readonly #connections: PrimaryConnections;
  readonly #options: PrimaryOptions;
  #history: History | undefined;
  /** A connection broke since it was looked last: another server may be the primary by now. */
  #isDoubtful = true;
  #reachable = false;

  constructor(connections: PrimaryConnections, options: PrimaryOptions) {
    this.#connections = connections;
    this.#options = options;
  }

  get writer(): Sql {
    return this.#connections.writer;
  }

  get reader(): Sql {
    return this.#connections.reader;
  }

  get reachable(): boolean {
    return this.#reachable;
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
    if (!this.#isDoubtful) return undefined;
    return this.flushedNow().then(
      () => undefined,
      () => undefined,
    );
  }

  /** Runs one writing statement, and returns its rows and the flushed position behind its commit. */
  async write<Row extends object>(
    statement: (sql: Sql) => Statement<Row>,
  ): Promise<{ rows: readonly Row[]; lsn: Lsn }> {
    const { writer } = this.#connections;
    const { rows, flushed, timeline } = await this.answer(write(writer, statement(writer)));
    await this.#expect(parseInt(timeline, 16));
    this.#sawPosition(flushed);
    return { rows, lsn: flushed };
  }

  /**
   * What was asked of the primary for a client. One that has vanished from the network may never answer.
   * @throws ClientError PRIMARY_UNAVAILABLE, also where it has not answered in time: it may do what was asked yet.
   */
  async answer<T>(work: PromiseLike<T>): Promise<T> {
    try {
      return await withinMs(work, this.#options.answerTimeoutMs);
    } catch (error) {
      throw forClient(error, 'PRIMARY');
    }
  }

  /** The flushed position, asked for after this call: shared by all who call within one turn. */
  readonly flushedNow = shared(async (): Promise<Lsn> => {
    try {
      return await withinMs(this.#look(), this.#options.lookTimeoutMs);
    } catch (error) {
      this.#reachable = false;
      throw forClient(error, 'PRIMARY');
    }
  });

  /** Writes the published heartbeat row; shared by all who ask while one is under way. */
  readonly beat = shared(async (): Promise<void> => {
    await this.#connections.writer`update readback.heartbeat set beat_at = clock_timestamp()`;
  });

  /** What servers have noted of the replica that reads from the slot. */
  noted(slot: string): Promise<Noted | undefined> {
    return notedOf(this.#connections.watch, slot);
  }

  /** Which tokens were renewed, or ended, in that time. */
  endedTokens(withinMs: number): Promise<EndedToken[]> {
    return endedTokens(this.#connections.watch, withinMs);
  }

  readonly note = (slot: string, logId: bigint, at: Lsn, isLost: boolean): Promise<void> =>
    noteSeen(this.#connections.writer, slot, logId, at, isLost);

  /** The replication slots, asked for after this call; shared like the position. */
  readonly slots = shared(() => slotRows(this.#connections.watch));

  async #look(): Promise<Lsn> {
    const row = await this.#ask();
    if (row.ends) this.#recognise(row, row.ends);
    this.#reachable = true;
    this.#isDoubtful = false;
    this.#sawPosition(row.flushed);
    return row.flushed;
  }

  /** A server that has vanished from the network keeps its connections open: they are given up. */
  async #ask(): Promise<IdentityRow> {
    const { lookTimeoutMs, silent } = this.#options;
    const { cluster = 0n, timeline = 0 } = this.#history ?? {};
    const asked = this.#connections.watch<[IdentityRow]>`
      select i.*, case when (cluster, timeline) is distinct from (${String(cluster)}, ${timeline}) then
        (select coalesce(jsonb_object_agg(t.timeline, t.ended), '{}') from readback.timelines() t) end as ends
      from readback.identity() i`;
    const timer = setTimeout(silent, lookTimeoutMs);
    try {
      return (await asked)[0];
    } finally {
      clearTimeout(timer);
    }
  }

  /** Positions of another cluster or timeline do not compare with the ones sampled so far. */
  #recognise({ cluster, timeline }: IdentityRow, ends: Record<string, string>): void {
    this.clock.forget();
    const entries = Object.entries(ends).map(([earlier, end]) => [Number(earlier), parseLsn(end)] as const);
    this.#history = { cluster: BigInt(cluster), timeline, ends: new Map(entries) };
  }

  /** Before a position of another timeline is handed out, the history is to be known: it goes into the bookmark. */
  async #expect(timeline: number): Promise<void> {
    if (timeline !== this.#history?.timeline) await this.flushedNow().catch(() => undefined);
  }

  #sawPosition(lsn: Lsn): void {
    this.clock.add(performance.now(), lsn);
  }
}
