import type { FeedChange } from './recent.ts';
import type { FeedCursor, FeedPlace } from './cursor.ts';
import type { SnapshotRow, SnapshotTable } from './snapshot.ts';

/** What a subscription asks of the feed. */
export interface FeedRequest {
  tables: readonly SnapshotTable[];
  /** Of one row only; null: of all. */
  key: string | null;
  operations: ReadonlySet<string> | null;
  from: 'now' | 'snapshot' | FeedCursor;
  /** Tell when nothing is owed. */
  wantsMarks: boolean;
}

export type FeedEvent =
  | { kind: 'change'; change: FeedChange }
  | { kind: 'row'; row: SnapshotRow }
  | { kind: 'caughtUp'; place: FeedPlace; at: string };

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
    this.#tables = new Set(request.tables.map(({ table }) => table));
  }

  wants({ tableName, key, operation }: FeedChange): boolean {
    const { operations } = this.request;
    if (!this.#tables.has(tableName)) return false;
    return (this.request.key === null || this.request.key === key) && (!operations || operations.has(operation));
  }

  /** GraphQL asks that it be iterable. */
  [Symbol.asyncIterator](): AsyncIterator<never> {
    throw new Error('a feed subscription is sent by following the feed');
  }
}
