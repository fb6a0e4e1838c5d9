import { IsBoolean, IsEmail, Matches } from 'class-validator';
import { Arg, Ctx, Field, ID, InputType, Mutation, Resolver } from 'type-graphql';
import { Allowed, assertMayGive } from '../../server/auth/rights.ts';
import { mayAll, type Viewer } from '../../server/auth/viewer.ts';
import { Column, Generated, Key, Table } from '../../server/declare/declaration.ts';
import { claim } from '../../server/declare/rule.ts';
import { rowsOf } from '../../server/reads/rows.ts';
import type { Context } from '../../server/graphql/schema/context.ts';
import { given, write, writeOne, type Written } from '../../server/graphql/schema/mutations.ts';
import { toPayload } from '../../server/graphql/schema/rows.ts';
import { payloadOf } from '../../server/graphql/schema/types.ts';
import { ConfirmArg, type Confirm } from '../../server/graphql/types/confirmation.type.ts';
import { IsLine, IsPassword, WhereGiven, WhereNotNull } from '../../server/declare/rules.ts';
import { DateTime } from '../../server/declare/scalars.ts';

const OWN = { id: { eq: claim('sub') } };

@Table('users', {
  orderBy: ['createdAt', 'username'],
  filter: {
    search: {
      columns: ['username', 'email', 'firstName', 'lastName'],
      description: 'A prefix of username, email, first or last name, upper or lower case alike',
    },
    by: { isActive: true },
  },
  rights: { read: {}, write: OWN },
  own: ['create', 'update', 'replace'],
  rest: true,
})
export class User {
  @Key(() => ID) id!: string;
  @Column(() => String, { length: [3, 50] }) username!: string;
  @Column(() => String, { length: [1, 254], read: OWN }) email!: string | null;
  @Column(() => String, { nullable: true, length: [0, 100] }) firstName!: string | null;
  @Column(() => String, { nullable: true, length: [0, 100] }) lastName!: string | null;
  @Column(() => Boolean, { read: OWN }) isActive!: boolean | null;
  @Column(() => Boolean, { read: OWN }) emailVerified!: boolean | null;
  @Generated(() => DateTime) createdAt!: string;
  @Generated(() => DateTime, { read: OWN }) updatedAt!: string | null;
}

const USERNAME = /^[A-Za-z0-9_.-]{3,50}$/;
const USERNAME_RULE = 'username must be 3 to 50 letters, digits, underscores, dots or hyphens';
const EMAIL_RULE = 'email must be an address such as ada@example.com, of at most 254 characters';
export const PASSWORD_RULE = 'password must have 8 to 128 characters, without null characters or lone surrogates';

/** What a whole user has. */
@InputType()
abstract class WholeUserInput {
  @Matches(USERNAME, { message: USERNAME_RULE })
  @Field(() => String)
  username!: string;

  @IsEmail({}, { message: EMAIL_RULE })
  @IsLine(1, 254, EMAIL_RULE)
  @Field(() => String)
  email!: string;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  firstName?: string | null;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  lastName?: string | null;
}

@InputType({
  description: 'username: 3 to 50 of letters, digits, `_ . -`; password: 8 to 128 characters; names: up to 100',
})
export class CreateUserInput extends WholeUserInput {
  @IsPassword(PASSWORD_RULE)
  @Field(() => String)
  password!: string;
}

@InputType({ description: 'What is left out becomes null or its default; the password stays' })
class ReplaceUserInput extends WholeUserInput {
  @Field(() => Boolean, { defaultValue: true })
  isActive!: boolean;

  @Field(() => Boolean, { defaultValue: false })
  emailVerified!: boolean;
}

@InputType({ description: 'What is left out stays. Null clears a name, and is refused elsewhere' })
class UpdateUserInput {
  @WhereGiven()
  @Matches(USERNAME, { message: USERNAME_RULE })
  @Field(() => String, { nullable: true })
  username?: string | null;

  @WhereGiven()
  @IsEmail({}, { message: EMAIL_RULE })
  @IsLine(1, 254, EMAIL_RULE)
  @Field(() => String, { nullable: true })
  email?: string | null;

  @WhereGiven()
  @IsPassword(PASSWORD_RULE)
  @Field(() => String, { nullable: true })
  password?: string | null;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  firstName?: string | null;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  lastName?: string | null;

  @WhereGiven()
  @IsBoolean({ message: 'isActive must be true or false' })
  @Field(() => Boolean, { nullable: true })
  isActive?: boolean | null;

  @WhereGiven()
  @IsBoolean({ message: 'emailVerified must be true or false' })
  @Field(() => Boolean, { nullable: true })
  emailVerified?: boolean | null;
}

/** A password is changed with changePassword, which asks for the present one. */
const FOR_ADMINISTRATORS = ['password', 'emailVerified'];

@Resolver(() => User)
export class UserResolver {
  @Allowed('anyone')
  @Mutation(() => payloadOf(User))
  async createUser(
    @Arg('input', () => CreateUserInput) input: CreateUserInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { password, username, email, firstName, lastName } = input;
    await context.services.access.countSignUp(context.viewer, context.address);
    const passwordHash = await context.services.hasher.hash(password, context);
    const user = { username, email, passwordHash, firstName: firstName ?? null, lastName: lastName ?? null };
    const users = rowsOf(User);
    const written = await write(context, confirm, (sql) => users.table.insert(sql, user));
    if (!context.viewer.user) context.viewer = { ...context.viewer, user: justCreated(written.row!.id) };
    return toPayload(users, written);
  }

  @Allowed('owner')
  @Mutation(() => payloadOf(User), { description: 'What is left out becomes null or its default; the password stays' })
  async replaceUser(
    @Arg('id', () => ID) id: string,
    @Arg('input', () => ReplaceUserInput) input: ReplaceUserInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { username, email, firstName, lastName, isActive, emailVerified } = input;
    const names = { firstName: firstName ?? null, lastName: lastName ?? null };
    const whole = { username, email, ...names, isActive, emailVerified };
    assertMayGive(context.viewer, FOR_ADMINISTRATORS, whole);
    return toPayload(rowsOf(User), await rename(context, confirm, id, whole));
  }

  @Allowed('owner')
  @Mutation(() => payloadOf(User), { description: 'What is left out stays' })
  async updateUser(
    @Arg('id', () => ID) id: string,
    @Arg('input', () => UpdateUserInput) input: UpdateUserInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { password, ...rest } = given(input);
    const patch: typeof rest & { passwordHash?: string } = rest;
    assertMayGive(context.viewer, FOR_ADMINISTRATORS, input);
    // An address that its owner has just written is one that nobody has verified.
    if (!mayAll(context.viewer) && patch.email !== undefined) patch.emailVerified = false;
    if (password != null) patch.passwordHash = await context.services.hasher.hash(password, context);
    return toPayload(rowsOf(User), await rename(context, confirm, id, patch));
  }
}

/** A name that another user has is a conflict, which tells that somebody is there. */
function rename(context: Context, confirm: Confirm, id: string, values: object): Promise<Written<User>> {
  const users = rowsOf(User);
  const write = () =>
    writeOne(context, confirm, users, id, (sql, only) => users.table.update(sql, only, values), values);
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
