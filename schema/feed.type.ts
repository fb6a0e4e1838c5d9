import { createUnionType, Field, ID, ObjectType } from 'type-graphql';
import { Cursor, DateTime } from './scalars.ts';
import { Post, PostChange } from './posts/post.type.ts';
import { User, UserChange } from './users/user.type.ts';

@ObjectType({ description: 'A row as it was when the snapshot was taken' })
export class SnapshotRow {
  @Field(() => Cursor, { description: 'Of no use before CaughtUp: a snapshot that breaks off is taken anew' })
  cursor!: string;

  @Field(() => String)
  table!: string;

  @Field(() => ID)
  key!: string;

  @Field(() => User, { nullable: true })
  user?: User;

  @Field(() => Post, { nullable: true })
  post?: Post;
}

@ObjectType({ description: 'Nothing is owed up to here: sent once ready, and again after every gap was closed' })
export class CaughtUp {
  @Field(() => Cursor)
  cursor!: string;

  @Field(() => DateTime)
  at!: string;
}

export const FeedEvent = createUnionType({
  name: 'FeedEvent',
  types: () => [UserChange, PostChange, SnapshotRow, CaughtUp] as const,
});
