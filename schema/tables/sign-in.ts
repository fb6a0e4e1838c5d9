import { Args, ArgsType, Ctx, Field, FieldResolver, Mutation, ObjectType, Query, Resolver, Root } from 'type-graphql';
import { viewerOf, type Issued } from '../../server/auth/access.ts';
import { Allowed, signedIn } from '../../server/auth/rights.ts';
import { ClientError, notFound } from '../../server/lib/errors.ts';
import { rowsOf } from '../../server/reads/rows.ts';
import type { Context } from '../../server/graphql/schema/context.ts';
import { write } from '../../server/graphql/schema/mutations.ts';
import { ConfirmArg, Payload, type Confirm } from '../../server/graphql/types/confirmation.type.ts';
import { IsAnyPassword, IsPassword, IsText } from '../../server/declare/rules.ts';
import { DateTime } from '../../server/declare/scalars.ts';
import { changePassword, endTokens } from './accounts.ts';
import { PASSWORD_RULE, User } from './users.ts';

@ObjectType({ description: 'A token, and whom it is for' })
class Session {
  @Field(() => String, { description: 'Send it as `Authorization: Bearer …`, or in connectionParams of a websocket' })
  token!: string;

  @Field(() => DateTime, { description: 'Until then renewToken gives another one' })
  expiresAt!: string;

  @Field(() => Boolean)
  isAdmin!: boolean;

  @Field(() => User)
  user!: User;
}

@ObjectType()
class SignOutPayload extends Payload {}

@ObjectType()
class ChangePasswordPayload extends Payload {
  @Field(() => Session, { description: 'All tokens given out before are over' })
  session!: Session;
}

@ArgsType()
class SignInArgs {
  @IsText(1, 254)
  @Field(() => String, { description: 'Username or email' })
  login!: string;

  @IsAnyPassword()
  @Field(() => String)
  password!: string;
}

@ArgsType()
class ChangePasswordArgs {
  @IsAnyPassword()
  @Field(() => String, { description: 'The present one' })
  current!: string;

  @IsPassword(PASSWORD_RULE)
  @Field(() => String)
  new!: string;
}

@Resolver(() => Session)
export class SignInResolver {
  @Allowed('anyone')
  @Query(() => User, { nullable: true, description: 'Who is signed in; null where nobody is' })
  async me(@Ctx() { viewer, loaders }: Context): Promise<User | null> {
    return viewer.user && loaders.load(rowsOf(User).byId, viewer.user.id);
  }

  @Allowed('anyone')
  @Mutation(() => Session, { description: 'The rest of the document runs as this user' })
  async signIn(@Args(() => SignInArgs) { login, password }: SignInArgs, @Ctx() context: Context) {
    return start(context, await context.services.access.signIn(login, password, context));
  }

  @Allowed('signedIn')
  @Mutation(() => Session, {
    description:
      'Another token for who has a good one, which is good for 10 s more: renewed again by then it gives the same one, after that it ends the session. On a websocket it also keeps the socket open for as long',
  })
  async renewToken(@Ctx() context: Context) {
    const { access, primary } = context.services;
    const user = context.viewer.renewed ?? signedIn(context.viewer);
    const session = start(context, await access.renew(user, primary.clock.latest ?? 0n));
    context.renewed?.(context.viewer);
    return session;
  }

  @Allowed('signedIn')
  @Mutation(() => SignOutPayload, { description: "Ends all of the viewer's tokens, and closes their websockets" })
  async signOut(@ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
    const { id } = signedIn(context.viewer);
    const { lsn, bookmark, confirmation } = await write(context, confirm, (sql) => endTokens(sql, id));
    context.services.access.sessions.changed(id, lsn);
    context.viewer = { ...context.viewer, user: null };
    return { bookmark, confirmation };
  }

  @Allowed('signedIn')
  @Mutation(() => ChangePasswordPayload, {
    description: "Ends all of the viewer's tokens, closes their websockets, and answers with a new token",
  })
  async changePassword(
    @Args(() => ChangePasswordArgs) { current, new: next }: ChangePasswordArgs,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const { access, hasher } = context.services;
    const { id } = signedIn(context.viewer);
    const user = await access.confirmPassword(id, current, context);
    const hash = await hasher.hash(next, context);
    const { row, lsn, bookmark, confirmation } = await write(context, confirm, (sql) =>
      changePassword(sql, user, hash),
    );
    if (!row) throw new ClientError('CONFLICT', 'The password was changed by somebody else meanwhile: sign in again.');
    access.sessions.changed(id, lsn);
    return { bookmark, confirmation, session: start(context, await access.reissue({ ...row, seen: lsn })) };
  }

  @FieldResolver(() => User)
  async user(@Root() { userId }: StartedSession, @Ctx() { loaders }: Context): Promise<User> {
    const user = await loaders.load(rowsOf(User).byId, userId);
    if (!user) throw notFound('user', userId);
    return user;
  }
}

interface StartedSession {
  userId: string;
}

/** The rest of the operation runs as the user, and sees at least what said that they may. */
function start(context: Context, issued: Issued) {
  const { token, claims, isAdmin } = issued;
  context.viewer = viewerOf(context.services.access.isOpen, issued);
  context.reads.mustSee(claims.seen);
  return { token, isAdmin, userId: claims.id, expiresAt: new Date(claims.expiresAtMs).toISOString() };
}
