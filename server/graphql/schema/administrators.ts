import {
  Arg,
  Ctx,
  Field,
  ID,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  Root,
  Subscription,
  type SubscribeResolverData,
} from 'type-graphql';
import { Arrival, Replication } from '../types/replication.type.ts';
import { Allowed } from '../../auth/rights.ts';
import { Bookmark, DateTime } from '../../declare/scalars.ts';
import { notFound } from '../../lib/errors.ts';
import type { Status } from '../../replication/status.ts';
import type { Context } from './context.ts';

@ObjectType({ description: 'A subscription that is open on a websocket of this server' })
export class LiveSubscription {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { nullable: true, description: 'Whose it is; null where nobody is signed in' })
  userId!: string | null;

  @Field(() => String)
  address!: string;

  @Field(() => String, { nullable: true, description: 'The name that the client gave the operation' })
  operation!: string | null;

  @Field(() => DateTime)
  since!: string;
}

@Resolver(() => LiveSubscription)
export class LiveResolver {
  @Allowed('administrators')
  @Query(() => [LiveSubscription], { description: 'Those of this server' })
  subscriptions(@Ctx() { services }: Context): LiveSubscription[] {
    return services.live.list();
  }

  @Allowed('administrators')
  @Mutation(() => ID, { description: 'Completes it: the client may subscribe again, unless its rights were ended' })
  endSubscription(@Arg('id', () => ID) id: string, @Ctx() { services }: Context): string {
    if (!services.live.end(id)) throw notFound('subscription', id.slice(0, 50));
    return id;
  }
}

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
