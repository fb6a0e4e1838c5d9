import type { FeedChange } from './recent.ts';
import type { FeedCursor, FeedPlace } from './cursor.ts';
import type { SnapshotRow } from './snapshot.ts';
import type { Declaration } from '../declare/declaration.ts';

/** What a subscription asks of the feed. */
export interface FeedRequest {
  tables: readonly Declaration[];
  /** Of one row only; null: of all. */
  key: string | null;
  operations: ReadonlySet<string> | null;
  from: 'now' | 'snapshot' | Latest | FeedCursor;
  /** Tell when nothing is owed. */
  wantsMarks: boolean;
  sight: Sight;
}

/** So many changes that the log holds already go first, of all tables. */
export interface Latest {
  latest: number;
}

/** What of the feed is shown to whom. An audience is those for whom an event looks the same; '' is everybody's. */
export interface Sight {
  /** Of two with the same, each shows every audience the same. */
  key: string;
  /** The audience that the subscriber belongs to for events of which it owns something; for all others it is ''. */
  own: string;
  /** Whoever owns something of it. */
  ownersIn: (event: ChangeEvent | RowEvent) => readonly string[];
  /** The change as that audience sees it; null where it sees nothing. */
  see: (change: FeedChange, audience: string) => FeedChange | null;
  seeRow: (row: SnapshotRow, audience: string) => SnapshotRow | null;
}

interface ChangeEvent {
  kind: 'change';
  change: FeedChange;
}

interface RowEvent {
  kind: 'row';
  row: SnapshotRow;
}

export type FeedEvent = ChangeEvent | RowEvent | { kind: 'caughtUp'; place: FeedPlace; at: string };

/**
 * What a resolver makes of a subscription to the feed: a description, not a queue. Whoever sends it follows the feed,
 * alone or once for many, and executes the operation on each event's root value.
 */
export class FeedStream implements AsyncIterable<never> {
  readonly request: FeedRequest;
  readonly toRoot: (event: FeedEvent) => unknown;
  readonly #tables: ReadonlySet<string>;

  constructor(request: FeedRequest, toRoot: (event: FeedEvent) => unknown) {
    this.request = request;
    this.toRoot = toRoot;
    this.#tables = new Set(request.tables.map(({ name }) => name));
  }

  /** The event as the audience gets it; null where it does not. */
  for(event: FeedEvent, audience: string): FeedEvent | null {
    if (event.kind === 'caughtUp') return event;
    if (event.kind === 'row') {
      const row = this.request.sight.seeRow(event.row, audience);
      return row && { kind: 'row', row };
    }
    const { tableName, key } = event.change;
    if (!this.#tables.has(tableName) || (this.request.key !== null && this.request.key !== key)) return null;
    const change = this.request.sight.see(event.change, audience);
    const { operations } = this.request;
    return change && (!operations || operations.has(change.operation)) ? { kind: 'change', change } : null;
  }

  /** The audience that `own` belongs to for this event. */
  audienceOf(event: FeedEvent, own: string): string {
    return own !== '' && this.ownersIn(event).includes(own) ? own : '';
  }

  /** Audiences other than '' that there may be for it. */
  ownersIn(event: FeedEvent): readonly string[] {
    return event.kind === 'caughtUp' ? [] : this.request.sight.ownersIn(event);
  }

  /** GraphQL asks that it be iterable. */
  [Symbol.asyncIterator](): AsyncIterator<never> {
    throw new Error('a feed subscription is sent by following the feed');
  }
}
