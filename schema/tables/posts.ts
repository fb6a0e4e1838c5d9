import { Arg, Ctx, ID, Mutation, Resolver } from 'type-graphql';
import { Allowed } from '../../server/auth/rights.ts';
import { BelongsTo, Column, Generated, Key, Table } from '../../server/declare/declaration.ts';
import { claim } from '../../server/declare/rule.ts';
import { rowsOf } from '../../server/reads/rows.ts';
import type { Context } from '../../server/graphql/schema/context.ts';
import { writeOne } from '../../server/graphql/schema/mutations.ts';
import { toPayload } from '../../server/graphql/schema/rows.ts';
import { payloadOf } from '../../server/graphql/schema/types.ts';
import { ConfirmArg, type Confirm } from '../../server/graphql/types/confirmation.type.ts';
import { DateTime } from '../../server/declare/scalars.ts';
import { User } from './users.ts';

const OWN = { authorId: { eq: claim('sub') } };

@Table('posts', {
  orderBy: ['createdAt', 'title'],
  filter: {
    search: { columns: ['title'], description: 'A prefix of the title, upper or lower case alike' },
    by: { authorId: true, published: { isGiven: 'publishedAt', description: 'True: published; false: not yet' } },
  },
  rights: { read: { or: [{ publishedAt: { isNull: false } }, OWN] }, write: OWN },
  create: 'title: 1 to 200 characters; body: up to 20,000',
  update: 'What is left out stays. Null is refused',
})
export class Post {
  @Key(() => ID) id!: string;
  @BelongsTo(() => User, { as: 'author', many: 'posts' }) authorId!: string;
  @Column(() => String, { length: [1, 200], line: true }) title!: string;
  @Column(() => String, { length: [0, 20_000] }) body!: string;
  @Generated(() => DateTime, { nullable: true, description: 'Null until it is published' }) publishedAt!: string | null;
  @Generated(() => DateTime) createdAt!: string;
  @Generated(() => DateTime) updatedAt!: string;
}

@Resolver(() => Post)
export class PostResolver {
  @Allowed('owner')
  @Mutation(() => payloadOf(Post), { description: 'Dates it now; a post that is published already stays as it is' })
  async publishPost(@Arg('id', () => ID) id: string, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
    const posts = rowsOf(Post);
    const written = await writeOne(
      context,
      confirm,
      posts,
      id,
      (sql, only) => sql<Post[]>`
        update posts t set published_at = coalesce(published_at, now()) where ${only} returning ${posts.table.columns(sql)}`,
    );
    return toPayload(posts, written);
  }
}
