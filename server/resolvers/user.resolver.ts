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
import { assertMayFilter, assertMayGive } from '../access/rights.ts';
import { mayAll, type Viewer } from '../access/viewer.ts';
import { allUsers, userById } from '../loaders/users.ts';
import { users, type UserRow, type UserValues } from '../store/users.ts';
import type { Context } from './context.ts';
import { given, write, writeOne, type Written } from './mutations.ts';
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
    @Ctx() context: Context,
  ): Promise<Connection<UserRow>> {
    const { viewer } = context;
    assertMayFilter(viewer, users.name, filter ?? {});
    const scope = { ...filter, ...(!mayAll(viewer) && { withoutEmail: true }) };
    return connect(context, allUsers, scope, page, order ?? NEWEST_FIRST);
  }

  @Mutation(() => UserPayload)
  async createUser(
    @Arg('input', () => CreateUserInput) input: CreateUserInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { password, username, email, firstName, lastName } = input;
    await context.services.access.countSignUp(context.viewer, context.address);
    const passwordHash = await context.services.hasher.hash(password, context);
    const user = { username, email, passwordHash, firstName: firstName ?? null, lastName: lastName ?? null };
    const written = await write(context, confirm, (sql) => users.insert(sql, user));
    if (!context.viewer.user) context.viewer = { ...context.viewer, user: justCreated(written.row!.id) };
    return toPayload(users, written);
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
    assertMayGive(context.viewer, users.name, whole);
    return toPayload(users, await rename(context, confirm, id, whole));
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
    assertMayGive(context.viewer, users.name, input);
    // An address that its owner has just written is one that nobody has verified.
    if (!mayAll(context.viewer) && patch.email !== undefined) patch.emailVerified = false;
    if (password != null) patch.passwordHash = await context.services.hasher.hash(password, context);
    return toPayload(users, await rename(context, confirm, id, patch));
  }
}

/** A name that another user has is a conflict, which tells that somebody is there. */
function rename(
  context: Context,
  confirm: Confirm,
  id: string,
  values: Partial<UserValues>,
): Promise<Written<UserRow>> {
  const write = () => writeOne(context, confirm, users, id, (sql, key) => users.update(sql, key, values));
  return context.services.access.naming(context.viewer, context.address, write);
}

/** Who signs up has chosen the password, and is that user for the rest of the document: what it shows is their own row. */
const justCreated = (id: string): Viewer['user'] => ({
  id,
  isAdmin: false,
  version: 0,
  seen: 0n,
  session: '',
  generation: 0,
  signedInAtMs: Date.now(),
  expiresAtMs: Date.now(),
});
