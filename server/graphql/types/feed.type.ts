import { Field, ID, ObjectType } from 'type-graphql';
import { Cursor, DateTime } from '../../declare/scalars.ts';

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
