import { Arg, Ctx, ID, Mutation, Query, Resolver } from 'type-graphql';
import { LiveSubscription } from '../types/live.type.ts';
import { Allowed } from '../../auth/rights.ts';
import { notFound } from '../../lib/errors.ts';
import type { Context } from './context.ts';

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
