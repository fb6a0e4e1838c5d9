import { Arg, Args, Ctx, ID, Mutation, Query, Resolver, Root, Subscription } from 'type-graphql';
import { RowChangedArgs } from '../../schema/change.type.ts';
import { ConfirmArg, type Confirm } from '../../schema/confirmation.type.ts';
import { PageArgs } from '../../schema/page.type.ts';
import {
  CreateUserInput,
  ReplaceUserInput,
  UpdateUserInput,
  UserFilter,
  UserOrder,
} from '../../schema/users/user.inputs.ts';
import { User, UserChange, UserConnection, UserPayload } from '../../schema/users/user.type.ts';
import { allUsers, userById } from '../loaders/users.ts';
import { users, type UserRow, type UserValues } from '../store/users.ts';
import { changesOf, type WatchedTable } from './changes.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';
import { given, write, writeOne, type Written } from './mutations.ts';
import { connect, NEWEST_FIRST, type Connection } from './page.ts';

export const userChanges: WatchedTable = {
  table: 'users',
  keyColumn: 'id',
  change: UserChange,
  field: 'user',
  times: ['createdAt', 'updatedAt'],
};

@Resolver(() => User)
export class UserResolver {
  @Query(() => User, { nullable: true })
  user(@Arg('id', () => ID) id: string, @Ctx() { loaders }: Context): Promise<UserRow | null> {
    return loaders.load(userById, parseId(id));
  }

  @Query(() => UserConnection)
  users(
    @Arg('orderBy', () => UserOrder, { nullable: true, description: 'Newest first where it is left out' })
    order: UserOrder | null | undefined,
    @Arg('filter', () => UserFilter, { nullable: true }) filter: UserFilter | null | undefined,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { loaders }: Context,
  ): Promise<Connection<UserRow>> {
    return connect(loaders, allUsers, filter ?? {}, page, order ?? NEWEST_FIRST);
  }

  @Mutation(() => UserPayload)
  async createUser(
    @Arg('input', () => CreateUserInput) input: CreateUserInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { password, username, email, firstName, lastName } = input;
    const passwordHash = await context.services.hasher.hash(password);
    const user = { username, email, passwordHash, firstName: firstName ?? null, lastName: lastName ?? null };
    return payload(await write(context, confirm, (sql) => users.insert(sql, user)));
  }

  @Mutation(() => UserPayload, { description: 'What is left out becomes null or its default; the password stays' })
  async replaceUser(
    @Arg('id', () => ID) id: string,
    @Arg('input', () => ReplaceUserInput) input: ReplaceUserInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { username, email, firstName, lastName, isActive, emailVerified } = input;
    const names = { firstName: firstName ?? null, lastName: lastName ?? null };
    const whole = { username, email, ...names, isActive, emailVerified };
    return payload(await writeOne(context, confirm, users, id, (sql, key) => users.update(sql, key, whole)));
  }

  @Mutation(() => UserPayload, { description: 'What is left out stays' })
  async updateUser(
    @Arg('id', () => ID) id: string,
    @Arg('input', () => UpdateUserInput) input: UpdateUserInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { password, ...rest } = given(input);
    const patch = rest as Partial<UserValues>;
    if (password != null) patch.passwordHash = await context.services.hasher.hash(password);
    return payload(await writeOne(context, confirm, users, id, (sql, key) => users.update(sql, key, patch)));
  }

  @Mutation(() => UserPayload, { description: 'Answers with the row as it was' })
  async deleteUser(@Arg('id', () => ID) id: string, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
    return payload(await writeOne(context, confirm, users, id, (sql, key) => users.delete(sql, key)));
  }

  @Subscription(() => UserChange, {
    subscribe: changesOf(userChanges),
    description: 'Changes of users, each read back from a replica before it is sent',
  })
  userChanged(@Args(() => RowChangedArgs) _args: RowChangedArgs, @Root() change: UserChange): UserChange {
    return change;
  }
}

const payload = ({ row, ...rest }: Written<UserRow>) => ({ user: row, ...rest });
