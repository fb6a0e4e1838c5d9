import { Field, ID, ObjectType } from 'type-graphql';
import { Confirmation } from '../confirmation.type.ts';
import { PageInfo } from '../page.type.ts';
import { Bookmark, DateTime } from '../scalars.ts';

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
export class UserEdge {
  @Field(() => String)
  cursor!: string;

  @Field(() => User)
  node!: User;
}

@ObjectType()
export class UserConnection {
  @Field(() => [UserEdge])
  edges!: UserEdge[];

  @Field(() => [User])
  nodes!: User[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@ObjectType()
export class UserPayload {
  @Field(() => User)
  user!: User;

  @Field(() => Bookmark, { description: 'A read that carries it sees this write' })
  bookmark!: string;

  @Field(() => Confirmation)
  confirmation!: Confirmation;
}
