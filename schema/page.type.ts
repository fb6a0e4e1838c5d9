import { Field, ObjectType, registerEnumType } from 'type-graphql';

export enum OrderDirection {
  ASC = 'ASC',
  DESC = 'DESC',
}
registerEnumType(OrderDirection, { name: 'OrderDirection' });

@ObjectType({ description: 'Where a page lies, as Relay has it' })
export class PageInfo {
  @Field(() => Boolean)
  hasNextPage!: boolean;

  @Field(() => Boolean)
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true, description: 'Hand it to `before` for the page before this one' })
  startCursor!: string | null;

  @Field(() => String, { nullable: true, description: 'Hand it to `after` for the page after this one' })
  endCursor!: string | null;
}
