import { Ctx, Query, Resolver, Root, Subscription, type SubscribeResolverData } from 'type-graphql';
import { Replication } from '../../schema/replication.type.ts';
import type { Status } from '../replication/status.ts';
import type { Context } from './context.ts';

@Resolver(() => Replication)
export class ReplicationResolver {
  @Query(() => Replication, { name: 'replication' })
  now(@Ctx() { services }: Context): Status {
    return services.status.now();
  }

  @Subscription(() => Replication, {
    name: 'replication',
    subscribe: ({ context }: SubscribeResolverData<unknown, unknown, Context>) => context.services.status.changes(),
    description: 'The state now, then at every change of state, and each second while lag moves',
  })
  changes(@Root() status: Status): Status {
    return status;
  }
}
