import { Args, ArgsType, Field, Resolver, Root, Subscription, type SubscribeResolverData } from 'type-graphql';
import { Cursor } from '../../declare/scalars.ts';
import { Allowed } from '../../auth/rights.ts';
import { sightOf } from '../../auth/visibility.ts';
import { mayAll, type Viewer } from '../../auth/viewer.ts';
import { allTables, tableNamed, type Declaration } from '../../declare/declaration.ts';
import { FeedStream } from '../../feed/stream.ts';
import { badInput } from '../../lib/errors.ts';
import { toRoot, toWatch } from './changes.ts';
import type { Context } from './context.ts';
import { feedEvent } from './feed-types.ts';

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
  const tables = args.tables == null ? allTables() : tablesNamed(args.tables, context.viewer);
  const start = args.snapshot ? ('snapshot' as const) : ('now' as const);
  const from = args.after == null ? start : await context.positions.readCursor(args.after);
  const sight = sightOf(context.viewer);
  const request = { tables: tables.map(toWatch), key: null, operations: null, from, wantsMarks: true, sight };
  return new FeedStream(request, toRoot(tables, context));
}

/** Tables that are administrators' alone are told to nobody else. */
function tablesNamed(names: readonly string[], viewer: Viewer): Declaration[] {
  const mayAsk = ({ read }: Declaration) => read !== undefined || mayAll(viewer);
  return [...new Set(names)].map((name) => {
    const found = tableNamed(name);
    if (found && mayAsk(found)) return found;
    const known = allTables()
      .filter(mayAsk)
      .map((table) => table.name);
    throw badInput(`tables must be among ${known.join(', ')}, got: ${name.slice(0, 50)}`, 'tables');
  });
}
