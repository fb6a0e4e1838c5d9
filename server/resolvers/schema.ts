import 'reflect-metadata';
import type { GraphQLSchema } from 'graphql';
import { buildSchemaSync, getMetadataStorage } from 'type-graphql';
import { TABLES } from '../access/rights.ts';
import { AccessResolver } from './access.resolver.ts';
import { ChangeResolver } from './change.resolver.ts';
import { guard } from './guard.ts';
import { LiveResolver } from './live.resolver.ts';
import { PostResolver, PostsOfUserResolver } from './post.resolver.ts';
import { ReplicationResolver } from './replication.resolver.ts';
import { UserResolver } from './user.resolver.ts';
import { validateArgument } from './validate.ts';

/** Every subscription has its own source; type-graphql asks for a pubSub all the same. */
const noPubSub = {
  publish: () => undefined,
  subscribe: (): AsyncIterable<never> => {
    throw new Error('a subscription needs a `subscribe` of its own');
  },
};

export function buildGraphQLSchema(): GraphQLSchema {
  plainColumns();
  const schema = buildSchemaSync({
    resolvers: [
      UserResolver,
      PostResolver,
      PostsOfUserResolver,
      AccessResolver,
      LiveResolver,
      ChangeResolver,
      ReplicationResolver,
    ],
    validateFn: validateArgument,
    pubSub: noPubSub,
  });
  return guard(schema);
}

/** A row's columns are read off it as they are: a call for each is most of what a page costs. They are values, never promises. */
function plainColumns(): void {
  const rows = new Set(Object.values(TABLES).map(({ type }) => type));
  for (const type of getMetadataStorage().objectTypes) type.simpleResolvers = rows.has(type.name);
}
