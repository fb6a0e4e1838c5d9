import { Args, ArgsType, Ctx, Field, FieldResolver, Mutation, Query, Resolver, Root } from 'type-graphql';
import { ChangePasswordPayload, Session, SignOutPayload } from '../../schema/access/session.type.ts';
import { ConfirmArg, type Confirm } from '../../schema/confirmation.type.ts';
import { IsAnyPassword, IsPassword, IsText } from '../../schema/rules.ts';
import { PASSWORD_RULE } from '../../schema/users/user.inputs.ts';
import { User } from '../../schema/users/user.type.ts';
import { viewerOf, type Issued } from '../access/access.ts';
import { signedIn } from '../access/rights.ts';
import { ClientError, notFound } from '../lib/errors.ts';
import { userById } from '../loaders/users.ts';
import { changePassword, endTokens } from '../store/access.ts';
import type { UserRow } from '../store/users.ts';
import type { Context } from './context.ts';
import { write } from './mutations.ts';

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
export class AccessResolver {
  @Query(() => User, { nullable: true, description: 'Who is signed in; null where nobody is' })
  async me(@Ctx() { viewer, loaders }: Context): Promise<UserRow | null> {
    return viewer.user && loaders.load(userById, viewer.user.id);
  }

  @Mutation(() => Session, { description: 'The rest of the document runs as this user' })
  async signIn(@Args(() => SignInArgs) { login, password }: SignInArgs, @Ctx() context: Context) {
    return start(context, await context.services.access.signIn(login, password, context));
  }

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

  @Mutation(() => SignOutPayload, { description: "Ends all of the viewer's tokens, and closes their websockets" })
  async signOut(@ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
    const { id } = signedIn(context.viewer);
    const { lsn, bookmark, confirmation } = await write(context, confirm, (sql) => endTokens(sql, id));
    context.services.access.sessions.changed(id, lsn);
    context.viewer = { ...context.viewer, user: null };
    return { bookmark, confirmation };
  }

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
  async user(@Root() { userId }: StartedSession, @Ctx() { loaders }: Context): Promise<UserRow> {
    const user = await loaders.load(userById, userId);
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
