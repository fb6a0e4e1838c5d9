import { Field, ID, InputType, registerEnumType } from 'type-graphql';
import { OrderDirection } from '../page.type.ts';
import { IsId, IsLine, IsText, WhereGiven, WhereNotNull } from '../rules.ts';

@InputType({ description: 'title: 1 to 200 characters; body: up to 20,000' })
export class CreatePostInput {
  @IsId()
  @Field(() => ID)
  authorId!: string;

  @IsLine(1, 200)
  @Field(() => String)
  title!: string;

  @IsText(0, 20_000)
  @Field(() => String)
  body!: string;
}

@InputType({ description: 'What is left out stays. Null is refused' })
export class UpdatePostInput {
  @WhereGiven()
  @IsLine(1, 200)
  @Field(() => String, { nullable: true })
  title?: string | null;

  @WhereGiven()
  @IsText(0, 20_000)
  @Field(() => String, { nullable: true })
  body?: string | null;
}

@InputType()
export class PostFilter {
  @WhereNotNull()
  @IsText(0, 200)
  @Field(() => String, { nullable: true, description: 'A prefix of the title, upper or lower case alike' })
  search?: string | null;

  @WhereNotNull()
  @IsId()
  @Field(() => ID, { nullable: true })
  authorId?: string | null;

  @Field(() => Boolean, { nullable: true, description: 'True: published; false: not yet' })
  published?: boolean | null;
}

export enum PostOrderField {
  CREATED_AT = 'CREATED_AT',
  TITLE = 'TITLE',
}
registerEnumType(PostOrderField, { name: 'PostOrderField' });

@InputType()
export class PostOrder {
  @Field(() => PostOrderField)
  field!: PostOrderField;

  @Field(() => OrderDirection)
  direction!: OrderDirection;
}
