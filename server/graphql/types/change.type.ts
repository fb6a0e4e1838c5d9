import { ArgsType, Field, Float, ID, InterfaceType, ObjectType, registerEnumType, type ClassType } from 'type-graphql';
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

/** Changes of a table: `@ObjectType({ implements: Change }) class PostChange extends changeOf(Post, 'post') {}`. */
export function changeOf<Node extends object>(node: ClassType<Node>, field: string) {
  @ObjectType()
  abstract class RowChange extends Change {}
  const add = (name: string, description: string) =>
    Field(() => node, { nullable: true, description })(RowChange.prototype, name);
  add(field, 'As of this very change; null after a delete');
  add('before', 'As it was before; null before an insert');
  return RowChange;
}

/** And the row, in a field of its table's. */
@ObjectType({ description: 'A row as it was when the snapshot was taken' })
export class SnapshotRow {
  @Field(() => Cursor, { description: 'Of no use before CaughtUp: a snapshot that breaks off is taken again' })
  cursor!: string;

  @Field(() => String)
  table!: string;

  @Field(() => ID)
  key!: string;
}

@ObjectType({ description: 'Nothing is owed up to here: sent once ready, and again after every gap was closed' })
export class CaughtUp {
  @Field(() => Cursor)
  cursor!: string;

  @Field(() => DateTime)
  at!: string;
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
