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
  type OperationDefinitionNode,
  type VariableDefinitionNode,
} from 'graphql';

type Values = Record<string, unknown>;

const MOST_MESSAGE = 1000;

/** A variable whose type is a scalar or an enum. */
interface Leaf {
  name: string;
  type: GraphQLLeafType;
  isNonNull: boolean;
  /** Undefined: it has no default. */
  preset: unknown;
}

/**
 * Variables as resolvers get them: of their types, with their defaults. graphql does it right, and looks up each type for
 * each request; here scalars and enums are looked up once for each operation, and what is not as it should be is graphql's.
 */
export class Variables {
  readonly #schema: GraphQLSchema;
  /** Null: some are lists or objects. */
  readonly #known = new WeakMap<OperationDefinitionNode, readonly Leaf[] | null>();

  constructor(schema: GraphQLSchema) {
    this.#schema = schema;
  }

  /** Undefined: they are not of their types, and `faultIn` says why. */
  coerce(operation: OperationDefinitionNode, sent: Readonly<Values>): Values | undefined {
    const leaves = this.#leavesOf(operation);
    const coerced = leaves && coerceLeaves(leaves, sent);
    return coerced ?? this.#all(operation, sent, 0).coerced;
  }

  /** The first thing that is wrong with them; undefined: nothing. */
  faultIn(operation: OperationDefinitionNode, sent: Readonly<Values>): GraphQLError | undefined {
    if (this.coerce(operation, sent)) return undefined;
    const [error] = this.#all(operation, sent, 1).errors ?? [];
    if (!error || error.message.length <= MOST_MESSAGE) return error;
    return new GraphQLError(`${error.message.slice(0, MOST_MESSAGE)}…`, { nodes: error.nodes });
  }

  /** Each error has all of the variable in its message: of an object with many wrong fields, all errors would fill the memory. */
  #all({ variableDefinitions = [] }: OperationDefinitionNode, sent: Readonly<Values>, maxErrors: number) {
    return getVariableValues(this.#schema, variableDefinitions, sent, { maxErrors });
  }

  #leavesOf(operation: OperationDefinitionNode): readonly Leaf[] | null {
    const known = this.#known.get(operation);
    if (known !== undefined) return known;
    const leaves = (operation.variableDefinitions ?? []).map((definition) => this.#leafOf(definition));
    const all = leaves.every((leaf) => leaf !== undefined) ? leaves : null;
    this.#known.set(operation, all);
    return all;
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
