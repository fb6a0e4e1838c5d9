import { ArgsType, Field, Float, ID, InterfaceType, registerEnumType } from 'type-graphql';
import { Bookmark, Cursor, DateTime } from '../../declare/scalars.ts';

export enum Operation {
  INSERT = 'INSERT',
  UPDATE = 'UPDATE',
  DELETE = 'DELETE',
}
registerEnumType(Operation, { name: 'Operation' });

@InterfaceType({ description: 'One change of one row, as a replica applied it' })
export abstract class Change {
  @Field(() => Cursor, { description: 'Hand it to `after` to go on after this change' })
  cursor!: string;

  @Field(() => Operation, {
    description: 'An update of the key is a DELETE of the old one, then an INSERT of the new one: two changes',
  })
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

  @Field(() => Float, {
    description: 'appliedAt − committedAt, in milliseconds; 0 where the clock of the replica is late by more',
  })
  lagMs!: number;

  @Field(() => Bookmark, { description: 'A read that carries it sees this change' })
  bookmark!: string;
}

/** What a subscription to one table's changes takes. */
@ArgsType()
export class RowChangedArgs {
  @Field(() => ID, { nullable: true, description: 'Only changes of this row' })
  id?: string | null;

  @Field(() => [Operation], { nullable: true, description: 'Only these operations' })
  operations?: Operation[] | null;

  @Field(() => Cursor, {
    nullable: true,
    description: 'Go on after this change; without it, with what happens from now on',
  })
  after?: string | null;
}
