import { Arg, Args, Ctx, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { ConfirmArg, type Confirm } from '../../schema/confirmation.type.ts';
import { PageArgs } from '../../schema/page.type.ts';
import { CreatePostInput, PostFilter, PostOrder, UpdatePostInput } from '../../schema/posts/post.inputs.ts';
import { Post, PostChange, PostConnection, PostPayload } from '../../schema/posts/post.type.ts';
import { User } from '../../schema/users/user.type.ts';
import { allPosts, postById, postsByAuthor } from '../loaders/posts.ts';
import { userById } from '../loaders/users.ts';
import { posts, publishPost, type PostRow } from '../store/posts.ts';
import type { UserRow } from '../store/users.ts';
import type { Context } from './context.ts';
import { writeOne } from './mutations.ts';
import { connect, NEWEST_FIRST, type Connection } from './page.ts';
import { toPayload, watch, writableResolver } from './rows.ts';

export const postChanges = watch(posts, PostChange, ['publishedAt', 'createdAt', 'updatedAt']);

@Resolver(() => Post)
export class PostResolver extends writableResolver({
  table: posts,
  byId: postById,
  type: Post,
  payload: PostPayload,
  create: CreatePostInput,
  update: UpdatePostInput,
  changes: postChanges,
}) {
  @Query(() => PostConnection)
  posts(
    @Arg('orderBy', () => PostOrder, { nullable: true, description: 'Newest first where it is left out' })
    order: PostOrder | null | undefined,
    @Arg('filter', () => PostFilter, { nullable: true }) filter: PostFilter | null | undefined,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() context: Context,
  ): Promise<Connection<PostRow>> {
    return connect(context, allPosts, filter ?? {}, page, order ?? NEWEST_FIRST);
  }

  @FieldResolver(() => User, { nullable: true })
  author(@Root() { authorId }: PostRow, @Ctx() { loaders }: Context): Promise<UserRow | null> {
    return loaders.load(userById, authorId);
  }

  @Mutation(() => PostPayload, { description: 'Dates it now; a post that is published already stays as it is' })
  async publishPost(@Arg('id', () => ID) id: string, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
    return toPayload(posts, await writeOne(context, confirm, posts, id, publishPost));
  }
}

@Resolver(() => User)
export class PostsOfUserResolver {
  @FieldResolver(() => PostConnection, { description: 'Newest first' })
  posts(
    @Root() { id }: UserRow,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() context: Context,
  ): Promise<Connection<PostRow>> {
    return connect(context, postsByAuthor, id, page, NEWEST_FIRST);
  }
}
