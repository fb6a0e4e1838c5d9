import { Field, ID, ObjectType } from 'type-graphql';
import { Change } from '../change.type.ts';
import { connectionOf, edgeOf } from '../page.type.ts';
import { changeOf, payloadOf } from '../rows.type.ts';
import { DateTime } from '../scalars.ts';

/** Every user has them, so that null says that this one's are not the viewer's to see. */
const HIDDEN = 'Null where it is not yours to see';

@ObjectType()
export class User {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  username!: string;

  @Field(() => String, { nullable: true, description: HIDDEN })
  email!: string | null;

  @Field(() => String, { nullable: true })
  firstName!: string | null;

  @Field(() => String, { nullable: true })
  lastName!: string | null;

  @Field(() => Boolean, { nullable: true, description: HIDDEN })
  isActive!: boolean | null;

  @Field(() => Boolean, { nullable: true, description: HIDDEN })
  emailVerified!: boolean | null;

  @Field(() => DateTime)
  createdAt!: string;

  @Field(() => DateTime, { nullable: true, description: HIDDEN })
  updatedAt!: string | null;
}

@ObjectType()
class UserEdge extends edgeOf(User) {}

@ObjectType()
export class UserConnection extends connectionOf(User, UserEdge) {}

@ObjectType()
export class UserPayload extends payloadOf(User, 'user') {}

@ObjectType({ implements: Change })
export class UserChange extends changeOf(User, 'user') {}
