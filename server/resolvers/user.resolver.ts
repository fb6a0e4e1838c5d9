import { Arg, Args, ArgsType, Ctx, Field, FieldResolver, ID, Int, Mutation, Query, Resolver, Root } from 'type-graphql';
import { Confirm } from '../../schema/confirmation.type.ts';
import { OrderDirection } from '../../schema/page.type.ts';
import {
  CreateUserInput,
  ReplaceUserInput,
  UpdateUserInput,
  UserFilter,
  UserOrder,
  UserOrderField,
} from '../../schema/users/user.inputs.ts';
import { User, UserConnection, UserPayload } from '../../schema/users/user.type.ts';
import { badInput, notFound } from '../lib/errors.ts';
import { deleteUser, insertUser, updateUser, USER_ORDERS, type UserPatch, type UserRow } from '../store/users.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';
import { write, type Written } from './mutations.ts';
import { toConnection, toPageRequest, type Connection } from './page.ts';

const DEFAULT_ORDER = { field: UserOrderField.CREATED_AT, direction: OrderDirection.DESC };

@ArgsType()
export class UsersArgs {
  @Field(() => Int, {
    nullable: true,
    description: 'From the start; 20 where neither first nor last is given, at most 100',
  })
  first?: number | null;

  @Field(() => String, { nullable: true })
  after?: string | null;

  @Field(() => Int, { nullable: true, description: 'From the end; at most 100' })
  last?: number | null;

  @Field(() => String, { nullable: true })
  before?: string | null;

  @Field(() => UserFilter, { nullable: true })
  filter?: UserFilter | null;

  @Field(() => UserOrder, { nullable: true, description: 'Newest first where it is left out' })
  orderBy?: UserOrder | null;
}

/** A connection that knows its filter, for totalCount. */
interface Users extends Connection<UserRow> {
  filter: { search?: string | null; isActive?: boolean | null };
}

@Resolver(() => UserConnection)
export class UserConnectionResolver {
  @FieldResolver(() => Int, { description: 'Rows that match the filter, over all pages' })
  totalCount(@Root() { filter }: Users, @Ctx() { loaders }: Context): Promise<number> {
    return loaders.userCount(filter);
  }
}

@Resolver(() => User)
export class UserResolver {
  @Query(() => User, { nullable: true })
  user(@Arg('id', () => ID) id: string, @Ctx() { loaders }: Context): Promise<UserRow | null> {
    return loaders.user(parseId(id));
  }

  @Query(() => UserConnection)
  async users(@Args(() => UsersArgs) args: UsersArgs, @Ctx() { loaders }: Context): Promise<Users> {
    const page = toPageRequest(args, args.orderBy ?? DEFAULT_ORDER);
    const filter = { search: args.filter?.search ?? null, isActive: args.filter?.isActive ?? null };
    const rows = await loaders.userPage({ filter, page });
    return { ...toConnection(rows, page, (row) => row[USER_ORDERS[page.field]]), filter };
  }

  @Mutation(() => UserPayload)
  async createUser(
    @Arg('input', () => CreateUserInput) input: CreateUserInput,
    @Arg('confirm', () => Confirm, { defaultValue: Confirm.COMMITTED }) confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { password, username, email, firstName, lastName } = input;
    const passwordHash = await context.services.hasher.hash(password);
    const user = { username, email, passwordHash, firstName: firstName ?? null, lastName: lastName ?? null };
    return payload(await write(context, confirm, (sql) => insertUser(sql, user)));
  }

  @Mutation(() => UserPayload, { description: 'What is left out becomes null or its default; the password stays' })
  async replaceUser(
    @Arg('id', () => ID) id: string,
    @Arg('input', () => ReplaceUserInput) input: ReplaceUserInput,
    @Arg('confirm', () => Confirm, { defaultValue: Confirm.COMMITTED }) confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { username, email, firstName, lastName, isActive, emailVerified } = input;
    const whole = {
      username,
      email,
      firstName: firstName ?? null,
      lastName: lastName ?? null,
      isActive,
      emailVerified,
    };
    return payload(await update(context, confirm, id, whole));
  }

  @Mutation(() => UserPayload, { description: 'What is left out stays' })
  async updateUser(
    @Arg('id', () => ID) id: string,
    @Arg('input', () => UpdateUserInput) input: UpdateUserInput,
    @Arg('confirm', () => Confirm, { defaultValue: Confirm.COMMITTED }) confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { password, ...rest } = input;
    const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as UserPatch;
    if (password == null && Object.keys(given).length === 0)
      throw badInput('Nothing to update: give at least one field.', 'input');
    const patch = password == null ? given : { ...given, passwordHash: await context.services.hasher.hash(password) };
    return payload(await update(context, confirm, id, patch));
  }

  @Mutation(() => UserPayload, { description: 'Answers with the row as it was' })
  async deleteUser(
    @Arg('id', () => ID) id: string,
    @Arg('confirm', () => Confirm, { defaultValue: Confirm.COMMITTED }) confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const key = parseId(id);
    return payload(found(key, await write(context, confirm, (sql) => deleteUser(sql, key))));
  }
}

async function update(context: Context, confirm: Confirm, id: string, patch: UserPatch) {
  const key = parseId(id);
  return found(key, await write(context, confirm, (sql) => updateUser(sql, key, patch)));
}

function found(id: string, written: Written<UserRow>): Written<UserRow> {
  if (!written.row) throw notFound('user', id);
  return written;
}

const payload = ({ row, bookmark, confirmation }: Written<UserRow>) => ({ user: row, bookmark, confirmation });
