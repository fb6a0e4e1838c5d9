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
import { allowedIn, assertMay, forbidden, isShownToWriter, seesColumn, visible } from '../../auth/rights.ts';
import { mayAll, type Viewer } from '../../auth/viewer.ts';
import { allTables, isAllVisible, type Declaration } from '../../declare/declaration.ts';
import { ClientError } from '../../lib/errors.ts';
import type { Context } from './context.ts';

/**
 * Puts the rights on the schema. A decorator that is forgotten leaves a door open; here what says nothing is for
 * administrators. And fields are decided without a promise each: a page has hundreds.
 *
 * Rows are decided wherever a resolver returns one: by itself, in a list, or as a page's node.
 */
export function guard(schema: GraphQLSchema): GraphQLSchema {
  for (const root of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()])
    for (const field of fieldsOf(root)) guardOperation(field);
  const tables = new Map(allTables().map((table) => [table.type.name, table]));
  for (const table of tables.values()) {
    const type = schema.getType(table.type.name);
    for (const field of fieldsOf(isObjectType(type) ? type : null)) guardField(table, field);
  }
  const rows = new RowGuard(tables);
  for (const type of Object.values(schema.getTypeMap()))
    if (isObjectType(type) && !isOfFeed(type)) for (const field of fieldsOf(type)) rows.on(field);
  return schema;
}

/** What the feed tells was decided before it was rendered, by the whole rows: these may lack what that needs. */
const isOfFeed = (type: GraphQLObjectType) =>
  type.name === 'SnapshotRow' || type.getInterfaces().some(({ name }) => name === 'Change');

type Field = GraphQLField<object, Context>;

const fieldsOf = (type: GraphQLObjectType | null | undefined): Field[] =>
  type ? (Object.values(type.getFields()) as Field[]) : [];

function guardOperation(field: Field): void {
  const { resolve, subscribe, extensions, name } = field;
  const who = allowedIn(extensions);
  const isRenewal = name === RENEWAL;
  if (subscribe)
    field.subscribe = (source, args, context, info) => {
      assertMay(context.viewer, who);
      return subscribe(source, args, context, info);
    };
  else if (resolve)
    field.resolve = (source, args, context, info) => {
      // Of a mutation's fields, each after the one before it: what nobody waits for is not begun.
      context.signal.throwIfAborted();
      assertMay(context.viewer, who, isRenewal);
      return resolve(source, args, context, info);
    };
}

/** All that a token is taken for which has had a successor for too long. */
const RENEWAL = 'renewToken';

/**
 * What the viewer is not to see reads as null where the schema says that it can be; else it is an error. The id tells of
 * all columns of the key.
 */
function guardField({ columns, key }: Declaration, field: Field): void {
  const { name, resolve, type, extensions } = field;
  const told = name === 'id' ? key : columns.filter((one) => one.field === name);
  const isOfRow = told.length > 0;
  if (isOfRow ? told.every(({ sees }) => sees === undefined) : allowedIn(extensions) !== 'administrators') return;
  field.resolve = (row, args, context, info) => {
    if (isOfRow ? told.every((column) => seesColumn(context.viewer, column, row)) : mayAll(context.viewer))
      return resolve ? resolve(row, args, context, info) : (row as Record<string, unknown>)[name];
    if (isNonNullType(type)) throw forbidden(`${name} is for administrators.`, name);
    return null;
  };
}

type Show = (viewer: Viewer, value: unknown) => unknown;

/** Decides the rows that fields give. */
class RowGuard {
  readonly #tables: ReadonlyMap<string, Declaration>;

  /** By their types. */
  constructor(tables: ReadonlyMap<string, Declaration>) {
    this.#tables = tables;
  }

  on(field: Field): void {
    const shown = this.#showing(field.type);
    if (!shown) return;
    const { resolve = defaultFieldResolver } = field;
    field.resolve = (source, args, context, info) => {
      const value: unknown = resolve(source, args, context, info);
      // Looked at when the value is there: whoever signs in under a mutation sees its answer.
      const show = (found: unknown) => (mayAll(context.viewer) ? found : shown(context.viewer, found));
      return value instanceof Promise ? value.then(show) : show(value);
    };
  }

  /** Of a type whose rows not everybody may see. */
  #guarded(type: GraphQLOutputType): Declaration | undefined {
    const table = this.#tables.get(getNamedType(type).name);
    return table === undefined || isAllVisible(table) ? undefined : table;
  }

  /** What is shown of a field's value; undefined where it holds no rows that are to be decided. */
  #showing(type: GraphQLOutputType): Show | undefined {
    const seen = this.#seeing(type);
    if (!seen) return undefined;
    if (isListType(getNullableType(type)))
      return (viewer, list) => (Array.isArray(list) ? list.filter((one) => seen(viewer, one)) : list);
    if (this.#guarded(type) === undefined) return undefined;
    return (viewer, row) => {
      if (row == null || isShownToWriter(row) || seen(viewer, row)) return row;
      if (isNonNullType(type)) throw new ClientError('NOT_FOUND', 'There is no such row.', { field: 'id' });
      return null;
    };
  }

  /** Whether a viewer sees a row, or what is there for the sake of one that it must have, as an edge is. */
  #seeing(type: GraphQLOutputType): ((viewer: Viewer, value: unknown) => boolean) | undefined {
    const table = this.#guarded(type);
    if (table !== undefined) return (viewer, row) => visible(viewer, table, row as object | null) !== null;
    const named = getNamedType(type);
    const held = isObjectType(named) ? fieldsOf(named).find((field) => this.#isHeld(field)) : undefined;
    const own = held && this.#guarded(held.type);
    return held && own
      ? (viewer, value) => visible(viewer, own, (value as Record<string, object>)[held.name] ?? null) !== null
      : undefined;
  }

  #isHeld({ type }: Field): boolean {
    return isNonNullType(type) && isObjectType(getNullableType(type)) && this.#guarded(type) !== undefined;
  }
}
