import { IsBoolean, IsEmail, Matches } from 'class-validator';
import { Field, InputType, registerEnumType } from 'type-graphql';
import { OrderDirection } from '../page.type.ts';
import { IsLine, IsPassword, IsText, WhereGiven, WhereNotNull } from '../rules.ts';

const USERNAME = /^[A-Za-z0-9_.-]{3,50}$/;
const USERNAME_RULE = 'username must be 3 to 50 letters, digits, underscores, dots or hyphens';
const EMAIL_RULE = 'email must be an address such as ada@example.com, of at most 254 characters';
export const PASSWORD_RULE = 'password must have 8 to 128 characters, without null characters or lone surrogates';

@InputType({
  description: 'username: 3 to 50 of letters, digits, `_ . -`; password: 8 to 128 characters; names: up to 100',
})
export class CreateUserInput {
  @Matches(USERNAME, { message: USERNAME_RULE })
  @Field(() => String)
  username!: string;

  @IsEmail({}, { message: EMAIL_RULE })
  @IsLine(1, 254, EMAIL_RULE)
  @Field(() => String)
  email!: string;

  @IsPassword(PASSWORD_RULE)
  @Field(() => String)
  password!: string;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  firstName?: string | null;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  lastName?: string | null;
}

@InputType({ description: 'What is left out becomes null or its default; the password stays' })
export class ReplaceUserInput {
  @Matches(USERNAME, { message: USERNAME_RULE })
  @Field(() => String)
  username!: string;

  @IsEmail({}, { message: EMAIL_RULE })
  @IsLine(1, 254, EMAIL_RULE)
  @Field(() => String)
  email!: string;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  firstName?: string | null;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  lastName?: string | null;

  @Field(() => Boolean, { defaultValue: true })
  isActive!: boolean;

  @Field(() => Boolean, { defaultValue: false })
  emailVerified!: boolean;
}

@InputType({ description: 'What is left out stays. Null clears a name, and is refused elsewhere' })
export class UpdateUserInput {
  @WhereGiven()
  @Matches(USERNAME, { message: USERNAME_RULE })
  @Field(() => String, { nullable: true })
  username?: string | null;

  @WhereGiven()
  @IsEmail({}, { message: EMAIL_RULE })
  @IsLine(1, 254, EMAIL_RULE)
  @Field(() => String, { nullable: true })
  email?: string | null;

  @WhereGiven()
  @IsPassword(PASSWORD_RULE)
  @Field(() => String, { nullable: true })
  password?: string | null;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  firstName?: string | null;

  @WhereNotNull()
  @IsLine(0, 100)
  @Field(() => String, { nullable: true })
  lastName?: string | null;

  @WhereGiven()
  @IsBoolean({ message: 'isActive must be true or false' })
  @Field(() => Boolean, { nullable: true })
  isActive?: boolean | null;

  @WhereGiven()
  @IsBoolean({ message: 'emailVerified must be true or false' })
  @Field(() => Boolean, { nullable: true })
  emailVerified?: boolean | null;
}

@InputType()
export class UserFilter {
  @WhereNotNull()
  @IsText(0, 254)
  @Field(() => String, {
    nullable: true,
    description: 'A prefix of username, email, first or last name, upper or lower case alike',
  })
  search?: string | null;

  @Field(() => Boolean, { nullable: true })
  isActive?: boolean | null;
}

export enum UserOrderField {
  CREATED_AT = 'CREATED_AT',
  USERNAME = 'USERNAME',
}
registerEnumType(UserOrderField, { name: 'UserOrderField' });

@InputType()
export class UserOrder {
  @Field(() => UserOrderField)
  field!: UserOrderField;

  @Field(() => OrderDirection)
  direction!: OrderDirection;
}
