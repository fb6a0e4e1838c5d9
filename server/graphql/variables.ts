import {
  getNullableType,
  getVariableValues,
  GraphQLError,
  isInputType,
  isLeafType,
  isNonNullType,
  typeFromAST,
  valueFromAST,
  type GraphQLLeafType,
  type GraphQLSchema,
  type VariableDefinitionNode,
} from 'graphql';

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
