import { Args, ArgsType, Field, Resolver, Root, Subscription, type SubscribeResolverData } from 'type-graphql';
import { FeedEvent } from '../../schema/feed.type.ts';
import { Cursor } from '../../schema/scalars.ts';
import { sightOf } from '../access/sight.ts';
import { FeedStream } from '../feed/stream.ts';
import { badInput } from '../lib/errors.ts';
import { toRoot, type WatchedTable } from './changes.ts';
import type { Context } from './context.ts';
import { WATCHED } from './watched.ts';

@ArgsType()
class ChangesArgs {
  @Field(() => [String], {
    nullable: true,
    description: 'Only changes of these tables; all of them where it is left out',
  })
  tables?: string[] | null;

  @Field(() => Cursor, { nullable: true, description: 'Go on behind this event; a snapshot is then not sent' })
  after?: string | null;

  @Field(() => Boolean, { defaultValue: false, description: 'Send every row first, then what came after it' })
  snapshot!: boolean;
}

@Resolver()
export class ChangeResolver {
  @Subscription(() => FeedEvent, {
    subscribe: subscribeToAll,
    description: 'For clients that keep a copy: every change, each once, in the order of the commits on the primary',
  })
  changes(
    @Args(() => ChangesArgs, { validate: false }) _args: ChangesArgs,
    @Root() event: typeof FeedEvent,
  ): typeof FeedEvent {
    return event;
  }
}

async function subscribeToAll({
  args,
  context,
}: SubscribeResolverData<unknown, ChangesArgs, Context>): Promise<FeedStream> {
  const tables = tablesNamed(args.tables ?? WATCHED.map(({ table }) => table));
  const start = args.snapshot ? ('snapshot' as const) : ('now' as const);
  const from = args.after == null ? start : await context.readCursor(args.after);
  const request = { tables, key: null, operations: null, from, wantsMarks: true, sight: sightOf(context.viewer) };
  return new FeedStream(request, toRoot(tables, context));
}

function tablesNamed(names: readonly string[]): WatchedTable[] {
  return [...new Set(names)].map((name) => {
    const found = WATCHED.find(({ table }) => table === name);
    if (found) return found;
    const known = WATCHED.map(({ table }) => table).join(', ');
    throw badInput(`tables must be among ${known}, got: ${name.slice(0, 50)}`, 'tables');
  });
}
