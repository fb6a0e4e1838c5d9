import {
  defaultFieldResolver,
  getNamedType,
  getNullableType,
  GraphQLObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  type GraphQLField,
  type GraphQLOutputType,
  type GraphQLSchema,
} from 'graphql';
import { assertMay, forbidden, isAllVisible, seesField, TABLES, visible, type TableRights } from '../access/rights.ts';
import { mayAll, type Viewer } from '../access/viewer.ts';
import { ClientError } from '../lib/errors.ts';
import type { Context } from './context.ts';
import { ROW_TYPES } from './rows.ts';

/**
 * Puts the tables of rights on the schema. A decorator that is forgotten leaves a door open; here what has no entry is
 * for administrators. And fields are decided without a promise each: a page has hundreds.
 *
 * Rows are decided wherever a resolver returns one: by itself, in a list, or as a page's node.
 */
export function guard(schema: GraphQLSchema): GraphQLSchema {
  for (const root of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()])
    for (const field of fieldsOf(root)) guardOperation(`${root!.name}.${field.name}`, field);
  for (const [table, rights] of Object.entries(TABLES)) {
    const type = schema.getType(rights.type);
    for (const field of fieldsOf(type instanceof GraphQLObjectType ? type : null)) guardField(table, rights, field);
  }
  for (const type of Object.values(schema.getTypeMap()))
    if (isObjectType(type) && !isOfFeed(type)) for (const field of fieldsOf(type)) guardRows(field);
  return schema;
}

/** What the feed tells was decided before it was rendered, by the whole rows: these may lack what that needs. */
const isOfFeed = (type: GraphQLObjectType) =>
  type.name === 'SnapshotRow' || type.getInterfaces().some(({ name }) => name === 'Change');

/** Of a type whose rows not everybody may see. */
function guardedTable(type: GraphQLOutputType): string | undefined {
  const table = ROW_TYPES.get(getNamedType(type).name);
  return table === undefined || isAllVisible(table) ? undefined : table;
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
      // Of a mutation's fields, each after the one before it: what nobody waits for is not begun.
      context.signal.throwIfAborted();
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

function guardRows(field: Field): void {
  const shown = showing(field.type);
  if (!shown) return;
  const { resolve = defaultFieldResolver } = field;
  field.resolve = (source, args, context, info) => {
    const value: unknown = resolve(source, args, context, info);
    // Looked at when the value is there: whoever signs in under a mutation sees its answer.
    const show = (found: unknown) => (mayAll(context.viewer) ? found : shown(context.viewer, found));
    return value instanceof Promise ? value.then(show) : show(value);
  };
}

type Show = (viewer: Viewer, value: unknown) => unknown;

/** What is shown of a field's value; undefined where it holds no rows that are to be decided. */
function showing(type: GraphQLOutputType): Show | undefined {
  const seen = seeing(type);
  if (!seen) return undefined;
  if (isListType(getNullableType(type)))
    return (viewer, list) => (Array.isArray(list) ? list.filter((one) => seen(viewer, one)) : list);
  if (guardedTable(type) === undefined) return undefined;
  return (viewer, row) => {
    if (row == null || seen(viewer, row)) return row;
    if (isNonNullType(type)) throw new ClientError('NOT_FOUND', 'There is no such row.', { field: 'id' });
    return null;
  };
}

/** Whether a viewer sees a row, or what is there for the sake of one that it must have, as an edge is. */
function seeing(type: GraphQLOutputType): ((viewer: Viewer, value: unknown) => boolean) | undefined {
  const table = guardedTable(type);
  if (table !== undefined) return (viewer, row) => visible(viewer, table, row as object | null) !== null;
  const named = getNamedType(type);
  const held = isObjectType(named) ? fieldsOf(named).find((field) => isHeld(field)) : undefined;
  const own = held && guardedTable(held.type)!;
  return own === undefined
    ? undefined
    : (viewer, value) => visible(viewer, own, (value as Record<string, object>)[held!.name] ?? null) !== null;
}

const isHeld = ({ type }: Field) =>
  isNonNullType(type) && isObjectType(getNullableType(type)) && guardedTable(type) !== undefined;
