import { Field, ObjectType } from 'type-graphql';
import { Payload } from '../confirmation.type.ts';
import { DateTime } from '../scalars.ts';
import { User } from '../users/user.type.ts';

@ObjectType({ description: 'A token, and whom it is for' })
export class Session {
  @Field(() => String, { description: 'Send it as `Authorization: Bearer …`, or in connectionParams of a websocket' })
  token!: string;

  @Field(() => DateTime, { description: 'Until then renewToken gives another one' })
  expiresAt!: string;

  @Field(() => Boolean)
  isAdmin!: boolean;

  @Field(() => User)
  user!: User;
}

@ObjectType()
export class SignOutPayload extends Payload {}

@ObjectType()
export class ChangePasswordPayload extends Payload {
  @Field(() => Session, { description: 'All tokens given out before are over' })
  session!: Session;
}
