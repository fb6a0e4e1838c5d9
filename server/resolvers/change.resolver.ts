import { Args, ArgsType, Field, ID, Resolver, Root, Subscription, type SubscribeResolverData } from 'type-graphql';
import { Operation, UserChange } from '../../schema/change.type.ts';
import type { User } from '../../schema/users/user.type.ts';
import { changedFields, lagMs, toFieldName } from '../feed/change.ts';
import type { FeedChange } from '../feed/hub.ts';
import { mapAsync } from '../lib/iterables.ts';
import { isoTimestamp } from '../lib/time.ts';
import type { Image } from '../store/change-log.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';

@ArgsType()
export class UserChangedArgs {
  @Field(() => ID, { nullable: true, description: 'Only changes of this user' })
  id?: string | null;

  @Field(() => [Operation], { nullable: true, description: 'Only these operations' })
  operations?: Operation[] | null;
}

@Resolver()
export class ChangeResolver {
  @Subscription(() => UserChange, {
    subscribe: subscribeToUsers,
    description: 'Changes of users, each read back from a replica before it is sent',
  })
  userChanged(@Args(() => UserChangedArgs) _args: UserChangedArgs, @Root() change: UserChange): UserChange {
    return change;
  }
}

function subscribeToUsers({
  args,
  context,
}: SubscribeResolverData<unknown, UserChangedArgs, Context>): AsyncIterableIterator<UserChange> {
  const { id, operations } = args;
  const key = id == null ? null : parseId(id);
  const wanted = operations == null ? null : new Set<string>(operations);
  const changes = context.services.hub.subscribe(
    (change) =>
      change.tableName === 'users' && (key === null || change.key === key) && (!wanted || wanted.has(change.operation)),
  );
  return mapAsync(changes, (change) => toUserChange(change, context.bookmark(change.seen)));
}

function toUserChange(change: FeedChange, bookmark: string): UserChange {
  return Object.assign(new UserChange(), {
    cursor: change.seq,
    operation: change.operation as Operation,
    table: change.tableName,
    key: change.key,
    changedFields: changedFields(change.before, change.after),
    committedAt: change.committedAt ?? change.appliedAt,
    appliedAt: change.appliedAt,
    lagMs: lagMs(change),
    bookmark,
    user: toUser(change.after),
    before: toUser(change.before),
  });
}

function toUser(image: Image | null): User | null {
  if (image === null) return null;
  const user = Object.fromEntries(
    Object.entries(image).map(([column, value]) => [toFieldName(column), value]),
  ) as unknown as User;
  return { ...user, createdAt: isoTimestamp(user.createdAt), updatedAt: isoTimestamp(user.updatedAt) };
}
