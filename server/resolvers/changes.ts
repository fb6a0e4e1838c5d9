import type { SubscribeResolverData } from 'type-graphql';
import type { Change, RowChangedArgs } from '../../schema/change.type.ts';
import { CaughtUp, SnapshotRow } from '../../schema/feed.type.ts';
import { sightOf } from '../access/sight.ts';
import { changedFields, lagMs, toFieldName } from '../feed/change.ts';
import type { FeedChange } from '../feed/recent.ts';
import { FeedStream, type FeedEvent } from '../feed/stream.ts';
import { isoTimestamp } from '../lib/time.ts';
import type { Image } from '../store/change-log.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';

/** What the feed needs to know of a table to tell of its rows. */
export interface WatchedTable {
  /** In SQL, as is its key column. */
  table: string;
  keyColumn: string;
  /** The type of its changes, and the field of that type, and of SnapshotRow, that has the row. */
  change: new () => Change;
  field: string;
  /** Fields that are timestamps. */
  times: readonly string[];
}

/** Makes the source of a subscription to the changes of one table. */
export function changesOf(watched: WatchedTable) {
  return async ({ args, context }: SubscribeResolverData<unknown, RowChangedArgs, Context>): Promise<FeedStream> => {
    const request = {
      tables: [watched],
      key: args.id == null ? null : parseId(args.id),
      operations: args.operations == null ? null : new Set<string>(args.operations),
      from: args.after == null ? ('now' as const) : await context.readCursor(args.after),
      wantsMarks: false,
      sight: sightOf(context.viewer),
    };
    return new FeedStream(request, toRoot([watched], context));
  };
}

/** An event as the object that its subscription is executed on. */
export function toRoot(tables: readonly WatchedTable[], context: Context): (event: FeedEvent) => unknown {
  const byName = new Map(tables.map((watched) => [watched.table, watched]));
  return (event) => {
    switch (event.kind) {
      case 'change':
        return toChange(byName.get(event.change.tableName)!, event.change, context);
      case 'row': {
        const { table, key, image, place } = event.row;
        const watched = byName.get(table)!;
        const cursor = context.cursor(place, true);
        return Object.assign(new SnapshotRow(), { cursor, table, key, [watched.field]: toRow(image, watched) });
      }
      case 'caughtUp':
        return Object.assign(new CaughtUp(), { cursor: context.cursor(event.place), at: event.at });
    }
  };
}

function toChange(watched: WatchedTable, change: FeedChange, context: Context): Change {
  return Object.assign(new watched.change(), {
    cursor: context.cursor({ ...change.position, logId: change.logId }),
    operation: change.operation,
    table: change.tableName,
    key: change.key,
    changedFields: changedFields(change.before, change.after),
    committedAt: change.committedAt ?? change.appliedAt,
    appliedAt: change.appliedAt,
    lagMs: lagMs(change),
    bookmark: context.bookmark(change.seen),
    [watched.field]: toRow(change.after, watched),
    before: toRow(change.before, watched),
  });
}

/** The image by field names, as the table's own rows are. */
function toRow(image: Image | null, { times }: WatchedTable): object | null {
  if (image === null) return null;
  const row = Object.fromEntries(Object.entries(image).map(([column, value]) => [toFieldName(column), value]));
  for (const field of times) if (typeof row[field] === 'string') row[field] = isoTimestamp(row[field]);
  return row;
}
