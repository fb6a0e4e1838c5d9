import { ArgsType, Field, Int, ObjectType, registerEnumType, type ClassType } from 'type-graphql';

export enum OrderDirection {
  ASC = 'ASC',
  DESC = 'DESC',
}
registerEnumType(OrderDirection, { name: 'OrderDirection' });

@ArgsType()
export class PageArgs {
  @Field(() => Int, {
    nullable: true,
    description: 'From the start; 20 where neither first nor last is given, at most 100',
  })
  first?: number | null;

  @Field(() => String, { nullable: true })
  after?: string | null;

  @Field(() => Int, { nullable: true, description: 'From the end; at most 100' })
  last?: number | null;

  @Field(() => String, { nullable: true })
  before?: string | null;
}

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

/** What the edges of all connections share: `class UserEdge extends edgeOf(User) {}`. */
export function edgeOf<Node extends object>(node: ClassType<Node>) {
  @ObjectType()
  abstract class Edge {
    @Field(() => String)
    cursor!: string;

    @Field(() => node)
    node!: Node;
  }
  return Edge;
}

/** What all connections share: `class UserConnection extends connectionOf(User, UserEdge) {}`. */
export function connectionOf<Node extends object, Edge extends object>(node: ClassType<Node>, edge: ClassType<Edge>) {
  @ObjectType()
  abstract class Connection {
    @Field(() => [edge])
    edges!: Edge[];

    @Field(() => [node])
    nodes!: Node[];

    @Field(() => PageInfo)
    pageInfo!: PageInfo;

    @Field(() => Int, { description: 'Rows on all pages together' })
    totalCount!: Promise<number>;
  }
  return Connection;
}
