import { Field, ID, ObjectType } from 'type-graphql';
import { Change } from '../change.type.ts';
import { connectionOf, edgeOf } from '../page.type.ts';
import { changeOf, payloadOf } from '../rows.type.ts';
import { DateTime } from '../scalars.ts';

@ObjectType()
export class User {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  username!: string;

  @Field(() => String)
  email!: string;

  @Field(() => String, { nullable: true })
  firstName!: string | null;

  @Field(() => String, { nullable: true })
  lastName!: string | null;

  @Field(() => Boolean)
  isActive!: boolean;

  @Field(() => Boolean)
  emailVerified!: boolean;

  @Field(() => DateTime)
  createdAt!: string;

  @Field(() => DateTime)
  updatedAt!: string;
}

@ObjectType()
class UserEdge extends edgeOf(User) {}

@ObjectType()
export class UserConnection extends connectionOf(User, UserEdge) {}

@ObjectType()
export class UserPayload extends payloadOf(User, 'user') {}

@ObjectType({ implements: Change })
export class UserChange extends changeOf(User, 'user') {}
