import {
  Args,
  ArgsType,
  createUnionType,
  Field,
  Int,
  Resolver,
  Root,
  Subscription,
  type ClassType,
  type SubscribeResolverData,
} from 'type-graphql';
import { CaughtUp, SnapshotRow, type Change, type RowChangedArgs } from '../types/change.type.ts';
import { Allowed } from '../../auth/rights.ts';
import { sightOf } from '../../auth/visibility.ts';
import { mayAll, type Viewer } from '../../auth/viewer.ts';
import { followedTables, idOf, parseId, type Declaration } from '../../declare/declaration.ts';
import { rowOf, type Image } from '../../declare/images.ts';
import { Cursor } from '../../declare/scalars.ts';
import { changedFields, lagMs } from '../../feed/change.ts';
import type { FeedChange } from '../../feed/recent.ts';
import { FeedStream, type FeedEvent, type FeedRequest } from '../../feed/stream.ts';
import { badInput } from '../../lib/errors.ts';
import type { Context } from './context.ts';
import { changeType } from './types.ts';

const LATEST_MAX = 1000;

let made: object | undefined;

/** What the feed tells: the changes of all tables that are declared, their rows in a snapshot, and marks. */
export function feedEvent(): object {
  made ??= makeFeedEvent();
  return made;
}

function makeFeedEvent(): object {
  const tables = followedTables();
  for (const { one, type } of tables) Field(() => type, { nullable: true })(SnapshotRow.prototype, one);
  const types: ClassType[] = [...tables.map(changeType), SnapshotRow, CaughtUp];
  return createUnionType({ name: 'FeedEvent', types: () => types });
}

@ArgsType()
class ChangesArgs {
  @Field(() => [String], {
    nullable: true,
    description: 'Only changes of these tables; all of them where it is left out',
  })
  tables?: string[] | null;

  @Field(() => Cursor, { nullable: true, description: 'Go on after this event; a snapshot is then not sent' })
  after?: string | null;

  @Field(() => Boolean, { defaultValue: false, description: 'Send every row first, then what came after it' })
  snapshot!: boolean;

  @Field(() => Int, {
    nullable: true,
    description: `Send the latest changes first, of all tables so many, ${LATEST_MAX} at most; not with a snapshot, nor where after is given`,
  })
  latest?: number | null;
}

@Resolver()
export class ChangeResolver {
  @Allowed('signedIn')
  @Subscription(() => feedEvent(), {
    subscribe: subscribeToAll,
    description: 'For clients that keep a copy: every change, each once, in the order of the commits on the primary',
  })
  changes(@Args(() => ChangesArgs, { validate: false }) _args: ChangesArgs, @Root() event: object): object {
    return event;
  }
}

async function subscribeToAll({
  args,
  context,
}: SubscribeResolverData<unknown, ChangesArgs, Context>): Promise<FeedStream> {
  const tables = args.tables == null ? followedTables() : tablesNamed(args.tables, context.viewer);
  context.services.tables.assertSame(tables);
  const from = args.after == null ? startOf(args) : await context.positions.readCursor(args.after);
  const sight = sightOf(context.viewer);
  const request = { tables, key: null, operations: null, from, wantsMarks: true, sight };
  return new FeedStream(request, toRoot(tables, context));
}

/** Without a cursor. */
function startOf({ snapshot, latest }: ChangesArgs): FeedRequest['from'] {
  if (latest == null) return snapshot ? 'snapshot' : 'now';
  if (snapshot) throw badInput('latest goes without snapshot: ask for one of the two', 'latest');
  if (latest < 1 || latest > LATEST_MAX)
    throw badInput(`latest must be from 1 to ${LATEST_MAX}, got: ${latest}`, 'latest');
  return { latest };
}

/** Tables that are administrators' alone are told to nobody else. */
function tablesNamed(names: readonly string[], viewer: Viewer): Declaration[] {
  const known = followedTables().filter(({ read }) => read !== undefined || mayAll(viewer));
  return [...new Set(names)].map((name) => {
    const found = known.find((table) => table.name === name);
    if (found) return found;
    const all = known.map((table) => table.name).join(', ');
    throw badInput(`tables must be among ${all}, got: ${name.slice(0, 50)}`, 'tables');
  });
}

/** Makes the source of a subscription to the changes of one table. */
export function changesOf(table: Declaration) {
  return async ({ args, context }: SubscribeResolverData<unknown, RowChangedArgs, Context>): Promise<FeedStream> => {
    context.services.tables.assertSame([table]);
    const request = {
      tables: [table],
      key: args.id == null ? null : parseId(table, args.id),
      operations: args.operations == null ? null : new Set<string>(args.operations),
      from: args.after == null ? ('now' as const) : await context.positions.readCursor(args.after),
      wantsMarks: false,
      sight: sightOf(context.viewer),
    };
    return new FeedStream(request, toRoot([table], context));
  };
}

/** An event as the object that its subscription is executed on. */
function toRoot(tables: readonly Declaration[], context: Context): (event: FeedEvent) => unknown {
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
  return Object.assign(new (changeType(table))(), {
    cursor: context.positions.cursor({ ...change.position, logId: change.logId }),
    operation: change.operation,
    table: change.tableName,
    key: change.key,
    changedFields: changedFields(table, change.before, change.after),
    committedAt: change.committedAt ?? change.appliedAt,
    appliedAt: change.appliedAt,
    lagMs: lagMs(change),
    bookmark: context.positions.bookmark(change.seen),
    [table.one]: toRow(change.after, table),
    before: toRow(change.before, table),
  });
}

/** The image as the table's own rows are. */
function toRow(image: Image | null, table: Declaration): object | null {
  if (image === null) return null;
  const row = rowOf(table, image);
  return table.isIdApart || !table.isKeyText ? Object.assign(row, { id: idOf(table, row) }) : row;
}
