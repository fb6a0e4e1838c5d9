import { Field, ID, ObjectType } from 'type-graphql';
import { DateTime } from '../../declare/scalars.ts';

@ObjectType({ description: 'A subscription that is open on a websocket of this server' })
export class LiveSubscription {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { nullable: true, description: 'Whose it is; null where nobody is signed in' })
  userId!: string | null;

  @Field(() => String)
  address!: string;

  @Field(() => String, { nullable: true, description: 'The name that the client gave the operation' })
  operation!: string | null;

  @Field(() => DateTime)
  since!: string;
}
