import 'reflect-metadata';
import type { GraphQLSchema } from 'graphql';
import { buildSchemaSync, getMetadataStorage, type ClassType } from 'type-graphql';
import { project } from '../../../schema/project.ts';
import { allTables, assertRules } from '../../declare/declaration.ts';
import { LiveResolver, ReplicationResolver } from './administrators.ts';
import { ChangeResolver, feedEvent } from './changes.ts';
import { guard } from './guard.ts';
import { resolversOf } from './rows.ts';
import { validateArgument } from './validate.ts';

/** Every subscription has its own source; type-graphql asks for a pubSub all the same. */
const noPubSub = {
  publish: () => undefined,
  subscribe: (): AsyncIterable<never> => {
    throw new Error('a subscription needs a `subscribe` of its own');
  },
};

let made: GraphQLSchema | undefined;

/** Made once: what is declared is declared for the whole process. */
export function buildGraphQLSchema(): GraphQLSchema {
  made ??= makeSchema();
  return made;
}

function makeSchema(): GraphQLSchema {
  feedEvent();
  const resolvers: ClassType[] = [
    ...project.tables.flatMap(resolversOf),
    ...(project.resolvers ?? []),
    LiveResolver,
    ChangeResolver,
    ReplicationResolver,
  ];
  for (const table of allTables()) assertRules(table);
  plainColumns();
  const schema = buildSchemaSync({
    resolvers: resolvers as unknown as [ClassType],
    validateFn: validateArgument,
    pubSub: noPubSub,
  });
  return guard(schema);
}

/** A row's columns are read off it as they are: a call for each is most of what a page costs. They are values, never promises. */
function plainColumns(): void {
  const rows = new Set(allTables().map(({ type }) => type.name));
  for (const type of getMetadataStorage().objectTypes) type.simpleResolvers = rows.has(type.name);
}
