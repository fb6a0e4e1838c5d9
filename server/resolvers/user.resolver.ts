import { Arg, Args, Ctx, ID, Mutation, Query, Resolver } from 'type-graphql';
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
import type { Context } from './context.ts';
import { given, write, writeOne } from './mutations.ts';
import { connect, NEWEST_FIRST, type Connection } from './page.ts';
import { rowResolver, toPayload, watch } from './rows.ts';

export const userChanges = watch(users, UserChange, ['createdAt', 'updatedAt']);

@Resolver(() => User)
export class UserResolver extends rowResolver({
  table: users,
  byId: userById,
  type: User,
  payload: UserPayload,
  changes: userChanges,
}) {
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
    return toPayload(users, await write(context, confirm, (sql) => users.insert(sql, user)));
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
    return toPayload(users, await writeOne(context, confirm, users, id, (sql, key) => users.update(sql, key, whole)));
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
    return toPayload(users, await writeOne(context, confirm, users, id, (sql, key) => users.update(sql, key, patch)));
  }
}
