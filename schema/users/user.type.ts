import { Field, ID, ObjectType } from 'type-graphql';
import { Change } from '../change.type.ts';
import { Payload } from '../confirmation.type.ts';
import { connectionOf, edgeOf } from '../page.type.ts';
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
export class UserPayload extends Payload {
  @Field(() => User)
  user!: User;
}

@ObjectType({ implements: Change })
export class UserChange extends Change {
  @Field(() => User, { nullable: true, description: 'As of this very change; null after a delete' })
  user!: User | null;

  @Field(() => User, { nullable: true, description: 'As it was before; null before an insert' })
  before!: User | null;
}
