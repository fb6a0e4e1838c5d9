import {
  getNamedType,
  getNullableType,
  getVariableValues,
  GraphQLError,
  isInputObjectType,
  isInputType,
  isLeafType,
  isListType,
  isNonNullType,
  typeFromAST,
  valueFromAST,
  type GraphQLInputType,
  type GraphQLLeafType,
  type GraphQLSchema,
  type VariableDefinitionNode,
} from 'graphql';
import { BigInt, Decimal, Json } from '../declare/scalars.ts';

export type Values = Record<string, unknown>;

const MOST_MESSAGE = 1000;

/** A variable whose type is a scalar or an enum. */
interface Leaf {
  name: string;
  type: GraphQLLeafType;
  isNonNull: boolean;
  /** Undefined: it has no default. */
  preset: unknown;
}

/** Numbers of these keep all of their digits. */
const EXACT: ReadonlySet<string> = new Set([Json, BigInt, Decimal].map(({ name }) => name));

/** Undefined: they are not of their types, and `fault` is the first thing that is wrong with them. */
export type Coerced = { coerced: Values; fault?: undefined } | { coerced: undefined; fault: GraphQLError };

/**
 * Variables as resolvers get them: of their types, with their defaults. graphql does it right, and looks up each type for
 * each request; here scalars and enums are looked up once for each operation, and what is not as it should be is graphql's.
 */
export class Variables {
  readonly #schema: GraphQLSchema;
  readonly #definitions: readonly VariableDefinitionNode[];
  /** Null: some are lists or objects. Undefined: not looked up yet. */
  #leaves: readonly Leaf[] | null | undefined;
  /** Those that hold numbers of any length, with their types. Undefined: not looked up yet. */
  #exact: readonly (readonly [name: string, type: GraphQLInputType])[] | undefined;

  constructor(schema: GraphQLSchema, definitions: readonly VariableDefinitionNode[] = []) {
    this.#schema = schema;
    this.#definitions = definitions;
  }

  coerce(sent: Readonly<Values>): Coerced {
    if (this.#leaves === undefined) this.#leaves = this.#lookUp();
    const leaves = this.#leaves && coerceLeaves(this.#leaves, sent);
    if (leaves) return { coerced: leaves };
    // Each error has all of the variable in its message: of an object with many wrong fields, all errors would fill the memory.
    const { coerced, errors } = getVariableValues(this.#schema, this.#definitions, sent, { maxErrors: 1 });
    return coerced ? { coerced } : { coerced: undefined, fault: shortened(errors[0]!) };
  }

  /** `sent`, in which numbers that JavaScript cuts are as they stand in the text that `exact` reads again: where any may be. */
  exactly(sent: Readonly<Values>, exact: () => unknown): Readonly<Values> {
    this.#exact ??= this.#definitions.flatMap(({ variable, type: node }) => {
      const type = typeFromAST(this.#schema, node);
      return isInputType(type) && isExact(type) ? [[variable.name.value, type] as const] : [];
    });
    const held = this.#exact.filter(([name]) => sent[name] != null);
    if (held.length === 0) return sent;
    const read = exact() as Readonly<Values>;
    return {
      ...sent,
      ...Object.fromEntries(held.map(([name, type]) => [name, exactIn(type, sent[name], read[name])])),
    };
  }

  #lookUp(): readonly Leaf[] | null {
    const leaves = this.#definitions.map((definition) => this.#leafOf(definition));
    return leaves.every((leaf) => leaf !== undefined) ? leaves : null;
  }

  #leafOf({ variable, type: node, defaultValue }: VariableDefinitionNode): Leaf | undefined {
    const { value: name } = variable.name;
    const type = typeFromAST(this.#schema, node);
    if (!isInputType(type) || name in Object.prototype) return undefined;
    const nullable = getNullableType(type);
    if (!isLeafType(nullable)) return undefined;
    const preset = defaultValue && valueFromAST(defaultValue, type);
    return { name, type: nullable, isNonNull: isNonNullType(type), preset };
  }
}

function shortened(error: GraphQLError): GraphQLError {
  if (error.message.length <= MOST_MESSAGE) return error;
  return new GraphQLError(`${error.message.slice(0, MOST_MESSAGE)}…`, { nodes: error.nodes });
}

/** Undefined: one is not as it should be. */
function coerceLeaves(leaves: readonly Leaf[], sent: Readonly<Values>): Values | undefined {
  const coerced: Values = {};
  try {
    for (const { name, type, isNonNull, preset } of leaves) {
      const value = sent[name];
      if (value === undefined && preset !== undefined) coerced[name] = preset;
      else if (value == null && isNonNull) return undefined;
      else if (value === null) coerced[name] = null;
      else if (value !== undefined) coerced[name] = defined(type.parseValue(value));
    }
    return coerced;
  } catch {
    // GraphQL's own coercion says what is wrong with it.
    return undefined;
  }
}

function defined(value: unknown): unknown {
  if (value === undefined) throw new TypeError('not of its type');
  return value;
}

/** Whether a value of the type may hold a number of any length. */
function isExact(type: GraphQLInputType, seen = new Set<GraphQLInputType>()): boolean {
  const named = getNamedType(type);
  if (!isInputObjectType(named)) return EXACT.has(named.name);
  if (seen.has(named)) return false;
  seen.add(named);
  return Object.values(named.getFields()).some((field) => isExact(field.type, seen));
}

/** What is not of the type is left as it is, to be refused. */
function exactIn(type: GraphQLInputType, value: unknown, exact: unknown): unknown {
  const nullable = getNullableType(type);
  if (value == null) return value;
  if (isListType(nullable))
    return Array.isArray(value) && Array.isArray(exact)
      ? value.map((item, index) => exactIn(nullable.ofType, item, exact[index]))
      : exactIn(nullable.ofType, value, exact);
  if (isLeafType(nullable)) return EXACT.has(nullable.name) ? exact : value;
  if (typeof value !== 'object') return value;
  const fields = Object.entries(nullable.getFields()).filter(([name]) => Object.hasOwn(value, name));
  const exactly = fields.map(([name, field]) => {
    const of = (one: unknown) => (one as Readonly<Values>)[name];
    return [name, exactIn(field.type, of(value), of(exact))];
  });
  return { ...value, ...Object.fromEntries(exactly) };
}
