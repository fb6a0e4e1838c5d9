import type { SubscribeResolverData } from 'type-graphql';
import type { Change, RowChangedArgs } from '../types/change.type.ts';
import { CaughtUp, SnapshotRow } from '../types/feed.type.ts';
import { sightOf } from '../../auth/visibility.ts';
import type { Declaration } from '../../declare/declaration.ts';
import { changedFields, lagMs } from '../../feed/change.ts';
import type { FeedChange } from '../../feed/recent.ts';
import { FeedStream, type FeedEvent } from '../../feed/stream.ts';
import type { SnapshotTable } from '../../feed/view.ts';
import { isoTimestamp } from '../../lib/time.ts';
import type { Image } from '../../database/sql/change-log.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';
import { typesOf } from './types.ts';

/** Makes the source of a subscription to the changes of one table. */
export function changesOf(table: Declaration) {
  return async ({ args, context }: SubscribeResolverData<unknown, RowChangedArgs, Context>): Promise<FeedStream> => {
    const request = {
      tables: [toWatch(table)],
      key: args.id == null ? null : parseId(args.id),
      operations: args.operations == null ? null : new Set<string>(args.operations),
      from: args.after == null ? ('now' as const) : await context.positions.readCursor(args.after),
      wantsMarks: false,
      sight: sightOf(context.viewer),
    };
    return new FeedStream(request, toRoot([table], context));
  };
}

/** What the feed needs to know of it. */
export const toWatch = ({ name, key }: Declaration): SnapshotTable => ({ table: name, keyColumn: key.name });

/** An event as the object that its subscription is executed on. */
export function toRoot(tables: readonly Declaration[], context: Context): (event: FeedEvent) => unknown {
  const byName = new Map(tables.map((table) => [table.name, table]));
  return (event) => {
    switch (event.kind) {
      case 'change':
        return toChange(byName.get(event.change.tableName)!, event.change, context);
      case 'row': {
        const { table, key, image, place } = event.row;
        const declaration = byName.get(table)!;
        const cursor = context.positions.cursor(place, true);
        const row = toRow(image, declaration);
        return Object.assign(new SnapshotRow(), { cursor, table, key, [declaration.one]: row });
      }
      case 'caughtUp':
        return Object.assign(new CaughtUp(), { cursor: context.positions.cursor(event.place), at: event.at });
    }
  };
}

function toChange(table: Declaration, change: FeedChange, context: Context): Change {
  return Object.assign(new (typesOf(table).change)(), {
    cursor: context.positions.cursor({ ...change.position, logId: change.logId }),
    operation: change.operation,
    table: change.tableName,
    key: change.key,
    changedFields: changedFields(change.before, change.after),
    committedAt: change.committedAt ?? change.appliedAt,
    appliedAt: change.appliedAt,
    lagMs: lagMs(change),
    bookmark: context.positions.bookmark(change.seen),
    [table.one]: toRow(change.after, table),
    before: toRow(change.before, table),
  });
}

/** The image by field names, as the table's own rows are. */
function toRow(image: Image | null, { columns }: Declaration): object | null {
  if (image === null) return null;
  const row: Record<string, unknown> = {};
  for (const { field, name, isTime } of columns) {
    const value = image[name];
    if (value !== undefined) row[field] = isTime && typeof value === 'string' ? isoTimestamp(value) : value;
  }
  return row;
}
