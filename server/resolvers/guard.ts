import { GraphQLObjectType, isNonNullType, type GraphQLField, type GraphQLSchema } from 'graphql';
import { assertMay, forbidden, seesField, TABLES, type TableRights } from '../access/rights.ts';
import type { Context } from './context.ts';

/**
 * Puts the tables of rights on the schema. A decorator that is forgotten leaves a door open; here what has no entry is
 * for administrators. And fields are decided without a promise each: a page has hundreds.
 */
export function guard(schema: GraphQLSchema): GraphQLSchema {
  for (const root of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()])
    for (const field of fieldsOf(root)) guardOperation(`${root!.name}.${field.name}`, field);
  for (const [table, rights] of Object.entries(TABLES)) {
    const type = schema.getType(rights.type);
    for (const field of fieldsOf(type instanceof GraphQLObjectType ? type : null)) guardField(table, rights, field);
  }
  return schema;
}

type Field = GraphQLField<object, Context>;

const fieldsOf = (type: GraphQLObjectType | null | undefined): Field[] =>
  type ? (Object.values(type.getFields()) as Field[]) : [];

function guardOperation(name: string, field: Field): void {
  const { resolve, subscribe } = field;
  if (subscribe)
    field.subscribe = (source, args, context, info) => {
      assertMay(context.viewer, name);
      return subscribe(source, args, context, info);
    };
  else if (resolve)
    field.resolve = (source, args, context, info) => {
      assertMay(context.viewer, name);
      return resolve(source, args, context, info);
    };
}

/** What the viewer is not to see reads as null where the schema says that it can be; else it is an error. */
function guardField(table: string, { fields }: TableRights, field: Field): void {
  if (fields[field.name] === 'users') return;
  const { name, resolve, type } = field;
  field.resolve = (row, args, context, info) => {
    if (seesField(context.viewer, table, row, name))
      return resolve ? resolve(row, args, context, info) : (row as Record<string, unknown>)[name];
    if (isNonNullType(type)) throw forbidden(`${name} is for administrators.`, name);
    return null;
  };
}
