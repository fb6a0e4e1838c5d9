import { Field, ID, ObjectType } from 'type-graphql';
import { Change } from '../change.type.ts';
import { connectionOf, edgeOf } from '../page.type.ts';
import { changeOf, payloadOf } from '../rows.type.ts';
import { DateTime } from '../scalars.ts';

@ObjectType()
export class Post {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  title!: string;

  @Field(() => String)
  body!: string;

  @Field(() => DateTime, { nullable: true, description: 'Null until it is published' })
  publishedAt!: string | null;

  @Field(() => DateTime)
  createdAt!: string;

  @Field(() => DateTime)
  updatedAt!: string;
}

@ObjectType()
class PostEdge extends edgeOf(Post) {}

@ObjectType()
export class PostConnection extends connectionOf(Post, PostEdge) {}

@ObjectType()
export class PostPayload extends payloadOf(Post, 'post') {}

@ObjectType({ implements: Change })
export class PostChange extends changeOf(Post, 'post') {}
