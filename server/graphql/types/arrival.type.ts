import { Field, Float, ObjectType } from 'type-graphql';
import { DateTime } from '../../declare/scalars.ts';

@ObjectType({ description: 'A replica has applied a write: what is read there sees it' })
export class Arrival {
  @Field(() => String)
  replica!: string;

  @Field(() => DateTime, { description: 'When the server found it there, by its own clock' })
  at!: string;

  @Field(() => Float, { description: 'Since it was asked, in milliseconds; 0 where the write was there already' })
  waitedMs!: number;
}
