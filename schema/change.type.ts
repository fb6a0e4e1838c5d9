import { Field, Float, ID, InterfaceType, ObjectType, registerEnumType } from 'type-graphql';
import { Bookmark, Cursor, DateTime } from './scalars.ts';
import { User } from './users/user.type.ts';

export enum Operation {
  INSERT = 'INSERT',
  UPDATE = 'UPDATE',
  DELETE = 'DELETE',
}
registerEnumType(Operation, { name: 'Operation' });

@InterfaceType({ description: 'One change of one row, as a replica applied it' })
abstract class Change {
  @Field(() => Cursor)
  cursor!: string;

  @Field(() => Operation)
  operation!: Operation;

  @Field(() => String)
  table!: string;

  @Field(() => ID)
  key!: string;

  @Field(() => [String], { description: 'Empty where an update changed nothing that is replicated' })
  changedFields!: string[];

  @Field(() => DateTime, { description: 'On the primary' })
  committedAt!: string;

  @Field(() => DateTime, { description: 'On the replica' })
  appliedAt!: string;

  @Field(() => Float, { description: 'appliedAt − committedAt, in milliseconds' })
  lagMs!: number;

  @Field(() => Bookmark, { description: 'A read that carries it sees this change' })
  bookmark!: string;
}

@ObjectType({ implements: Change })
export class UserChange extends Change {
  @Field(() => User, { nullable: true, description: 'As of this very change; null after a delete' })
  user!: User | null;

  @Field(() => User, { nullable: true, description: 'As it was before; null before an insert' })
  before!: User | null;
}
