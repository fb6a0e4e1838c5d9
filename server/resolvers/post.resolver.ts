import { Arg, Args, Ctx, FieldResolver, ID, Mutation, Query, Resolver, Root, Subscription } from 'type-graphql';
import { RowChangedArgs } from '../../schema/change.type.ts';
import { ConfirmArg, type Confirm } from '../../schema/confirmation.type.ts';
import { PageArgs } from '../../schema/page.type.ts';
import { CreatePostInput, PostFilter, PostOrder, UpdatePostInput } from '../../schema/posts/post.inputs.ts';
import { Post, PostChange, PostConnection, PostPayload } from '../../schema/posts/post.type.ts';
import { User } from '../../schema/users/user.type.ts';
import { allPosts, postById, postsByAuthor } from '../loaders/posts.ts';
import { userById } from '../loaders/users.ts';
import { posts, publishPost, type PostRow, type PostValues } from '../store/posts.ts';
import type { UserRow } from '../store/users.ts';
import { changesOf, type WatchedTable } from './changes.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';
import { given, write, writeOne, type Written } from './mutations.ts';
import { connect, NEWEST_FIRST, type Connection } from './page.ts';

export const postChanges: WatchedTable = {
  table: 'posts',
  keyColumn: 'id',
  change: PostChange,
  field: 'post',
  times: ['publishedAt', 'createdAt', 'updatedAt'],
};

@Resolver(() => Post)
export class PostResolver {
  @Query(() => Post, { nullable: true })
  post(@Arg('id', () => ID) id: string, @Ctx() { loaders }: Context): Promise<PostRow | null> {
    return loaders.load(postById, parseId(id));
  }

  @Query(() => PostConnection)
  posts(
    @Arg('orderBy', () => PostOrder, { nullable: true, description: 'Newest first where it is left out' })
    order: PostOrder | null | undefined,
    @Arg('filter', () => PostFilter, { nullable: true }) filter: PostFilter | null | undefined,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { loaders }: Context,
  ): Promise<Connection<PostRow>> {
    return connect(loaders, allPosts, filter ?? {}, page, order ?? NEWEST_FIRST);
  }

  @FieldResolver(() => User, { nullable: true })
  author(@Root() { authorId }: PostRow, @Ctx() { loaders }: Context): Promise<UserRow | null> {
    return loaders.load(userById, authorId);
  }

  @Mutation(() => PostPayload)
  async createPost(
    @Arg('input', () => CreatePostInput) input: CreatePostInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    return payload(await write(context, confirm, (sql) => posts.insert(sql, input)));
  }

  @Mutation(() => PostPayload, { description: 'What is left out stays' })
  async updatePost(
    @Arg('id', () => ID) id: string,
    @Arg('input', () => UpdatePostInput) input: UpdatePostInput,
    @ConfirmArg() confirm: Confirm,
    @Ctx() context: Context,
  ) {
    const patch = given(input) as Partial<PostValues>;
    return payload(await writeOne(context, confirm, posts, id, (sql, key) => posts.update(sql, key, patch)));
  }

  @Mutation(() => PostPayload, { description: 'Dates it now; a post that is published already stays as it is' })
  async publishPost(@Arg('id', () => ID) id: string, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
    return payload(await writeOne(context, confirm, posts, id, publishPost));
  }

  @Mutation(() => PostPayload, { description: 'Answers with the row as it was' })
  async deletePost(@Arg('id', () => ID) id: string, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
    return payload(await writeOne(context, confirm, posts, id, (sql, key) => posts.delete(sql, key)));
  }

  @Subscription(() => PostChange, {
    subscribe: changesOf(postChanges),
    description: 'Changes of posts, each read back from a replica before it is sent',
  })
  postChanged(@Args(() => RowChangedArgs) _args: RowChangedArgs, @Root() change: PostChange): PostChange {
    return change;
  }
}

@Resolver(() => User)
export class PostsOfUserResolver {
  @FieldResolver(() => PostConnection, { description: 'Newest first' })
  posts(
    @Root() { id }: UserRow,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { loaders }: Context,
  ): Promise<Connection<PostRow>> {
    return connect(loaders, postsByAuthor, id, page, NEWEST_FIRST);
  }
}

const payload = ({ row, ...rest }: Written<PostRow>) => ({ post: row, ...rest });
