import { Arg, Field, Float, ObjectType, registerEnumType, type ClassType } from 'type-graphql';
import { Bookmark } from '../../declare/scalars.ts';

export enum Confirm {
  COMMITTED = 'COMMITTED',
  REPLICATED = 'REPLICATED',
}
registerEnumType(Confirm, {
  name: 'Confirm',
  description: 'When a mutation answers',
  valuesConfig: {
    COMMITTED: { description: 'When the primary has committed' },
    REPLICATED: { description: 'When, in addition, a replica has applied the write' },
  },
});

/** The argument that every mutation has. */
export const ConfirmArg = () => Arg('confirm', () => Confirm, { defaultValue: Confirm.COMMITTED });

@ObjectType({ description: 'How far a write had come when it was answered' })
export class Confirmation {
  @Field(() => Confirm, { description: 'The level reached: COMMITTED where the wait for a replica ran out' })
  level!: Confirm;

  @Field(() => String, { nullable: true, description: 'The replica that had applied it' })
  replica!: string | null;

  @Field(() => Float, { description: 'How long the answer waited for the replica' })
  waitedMs!: number;
}

/** What the answers of all mutations share, beside the row that was written. */
@ObjectType()
export abstract class Payload {
  @Field(() => Bookmark, { description: 'A read that carries it sees this write' })
  bookmark!: string;

  @Field(() => Confirmation)
  confirmation!: Confirmation;
}

/** What mutations of a table answer, the row in a field of its name: `class PostPayload extends payloadWith(Post, 'post') {}`. */
export function payloadWith<Node extends object>(node: ClassType<Node>, field: string) {
  @ObjectType()
  abstract class RowPayload extends Payload {}
  Field(() => node)(RowPayload.prototype, field);
  return RowPayload;
}
