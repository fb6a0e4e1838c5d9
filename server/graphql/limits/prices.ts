import { getNamedType, GraphQLObjectType, type GraphQLSchema } from 'graphql';
import { allTables } from '../../declare/declaration.ts';

/** What a count costs, by the types of the page that it is of and of what that page is a field of. */
export type CountCost = (page: string, parent: string) => number;

/** A row that is counted takes about a twentieth of the time of one that is read, resolved and sent. */
const COUNTED_FOR_ONE = 20;

/**
 * A count reads all that it counts: those of a table all its rows, as many as the planner knows of; those under a row as
 * many as there are for each on average. It never costs more than a fifth of what an operation may: what takes longer
 * than a statement may is ended.
 */
export function countCosts(
  schema: GraphQLSchema,
  rows: ReadonlyMap<string, number>,
  { cost: most }: { cost: number },
): CountCost {
  const tables = new Map(allTables().map(({ type, name }) => [type.name, name]));
  const rowsOf = (type: string): number | undefined => rows.get(tables.get(type) ?? '');
  return (page, parent) => {
    const counted = rowsOf(nodesOf(schema, page)) ?? 0;
    const among = Math.max(1, rowsOf(parent) ?? 1);
    return Math.max(1, Math.min(Math.ceil(counted / among / COUNTED_FOR_ONE), Math.floor(most / 5)));
  };
}

function nodesOf(schema: GraphQLSchema, page: string): string {
  const type = schema.getType(page);
  const nodes = type instanceof GraphQLObjectType ? type.getFields()['nodes'] : undefined;
  return nodes ? getNamedType(nodes.type).name : '';
}
