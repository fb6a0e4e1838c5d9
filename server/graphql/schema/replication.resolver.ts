import { Arg, Ctx, Query, Resolver, Root, Subscription, type SubscribeResolverData } from 'type-graphql';
import { Arrival } from '../types/arrival.type.ts';
import { Replication } from '../types/replication.type.ts';
import { Bookmark } from '../../declare/scalars.ts';
import type { Status } from '../../replication/status.ts';
import { Allowed } from '../../auth/rights.ts';
import type { Context } from './context.ts';

@Resolver(() => Replication)
export class ReplicationResolver {
  @Allowed('administrators')
  @Query(() => Replication, { name: 'replication' })
  now(@Ctx() { services }: Context): Status {
    return services.status.now();
  }

  @Allowed('administrators')
  @Subscription(() => Replication, {
    name: 'replication',
    subscribe: ({ context }: SubscribeResolverData<unknown, unknown, Context>) => context.services.status.changes(),
    description: 'The state now, then at every change of state, and each second while lag moves',
  })
  changes(@Root() status: Status): Status {
    return status;
  }

  @Allowed('administrators')
  @Subscription(() => Arrival, {
    subscribe: arrivalsOf,
    description: 'Each replica once, as it has applied the write that the bookmark is of; ends with the last one',
  })
  arrivals(@Arg('bookmark', () => Bookmark) _bookmark: string, @Root() arrival: Arrival): Arrival {
    return arrival;
  }
}

async function arrivalsOf({ args, context }: SubscribeResolverData<unknown, { bookmark: string }, Context>) {
  return context.services.arrivals.of(await context.positions.readBookmark(args.bookmark));
}
