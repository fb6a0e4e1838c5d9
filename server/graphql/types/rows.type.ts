import { Field, ObjectType, type ClassType } from 'type-graphql';
import { Change } from './change.type.ts';
import { Payload } from './confirmation.type.ts';

/** What mutations of a table answer, the row in a field of its name: `class PostPayload extends payloadWith(Post, 'post') {}`. */
export function payloadWith<Node extends object>(node: ClassType<Node>, field: string) {
  @ObjectType()
  abstract class RowPayload extends Payload {}
  Field(() => node)(RowPayload.prototype, field);
  return RowPayload;
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
