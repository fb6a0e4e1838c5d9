import {
  BREAK,
  getNamedType,
  GraphQLScalarType,
  GraphQLSchema,
  isEnumType,
  isObjectType,
  isScalarType,
  isSpecifiedScalarType,
  execute,
  Kind,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type ASTVisitor,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLInputType,
} from 'graphql';
import { compileQuery, isCompiledQuery } from 'graphql-jit';
import type { CompiledQuery, PreparedOperation } from './documents.ts';
import { selectionsIn } from './measure.ts';
import type { Operation } from './operation.ts';
import type { Values } from './variables.ts';

/** What an operation is executed with. */
export interface Arguments {
  rootValue?: unknown;
  contextValue: Operation;
  /** The variables: as they came, and of their types. */
  sent: Readonly<Values>;
  coerced: Readonly<Values>;
}

/** Times that an operation is interpreted after it went wrong compiled, so that what always does costs a tenth more, not twice. */
const INTERPRETED_AFTER_ERROR = 10;
/** Larger documents take too long to compile: the code holds each selection as often as fragments repeat it. */
const MOST_SELECTIONS = 500;

/** Takes variables as they are: they were coerced before, by graphql itself. */
const COERCED = new GraphQLScalarType({ name: 'Coerced' });

/** Executes operations of documents that are valid. Those that come again are compiled into functions of their own. */
export class Executor {
  readonly #schema: GraphQLSchema;
  readonly #compiler: Compiler;

  constructor(schema: GraphQLSchema) {
    this.#schema = schema;
    this.#compiler = new Compiler(schema);
  }

  async execute(
    operation: PreparedOperation,
    { rootValue, contextValue, sent, coerced }: Arguments,
  ): Promise<ExecutionResult> {
    const compiled = this.#compiled(operation);
    if (compiled) {
      const result = await compiled(rootValue, contextValue, coerced);
      if (!result.errors) return result;
      // Queries and events alone are compiled, which may be executed twice: what is wrong, the interpreter says.
      operation.untilCompiled = INTERPRETED_AFTER_ERROR;
      contextValue.again();
    }
    const { document, node } = operation;
    const operationName = node.name?.value;
    return execute({ schema: this.#schema, document, operationName, rootValue, contextValue, variableValues: sent });
  }

  #compiled(operation: PreparedOperation): CompiledQuery | undefined {
    if (operation.untilCompiled-- > 0) return undefined;
    operation.compiled ??= this.#compiler.compile(operation);
    if (!operation.compiled) operation.untilCompiled = Infinity;
    return operation.compiled;
  }
}

/**
 * Makes functions of documents with graphql-jit, where what they answer is what graphql's interpreter answers. That
 * library writes code around what a document holds, and knows less of GraphQL than the interpreter: directives in nested
 * fragments, defaults of variables, variables inside other values and what happens to errors are other than they should
 * be, and a text of a client's can become code. So it gets documents of names, whole numbers, enum values and variables
 * alone, variables that are coerced, and no say in what went wrong.
 */
class Compiler {
  readonly #schema: GraphQLSchema;
  /** With the type that coerced variables are of. */
  readonly #extended: GraphQLSchema | undefined;

  constructor(schema: GraphQLSchema) {
    this.#schema = schema;
    const config = schema.toConfig();
    if (hasDistinctNames(schema))
      this.#extended = new GraphQLSchema({ ...config, types: [...config.types, COERCED], assumeValid: true });
  }

  /** Undefined: this one is to be interpreted. */
  compile({ document, node }: PreparedOperation): CompiledQuery | undefined {
    if (!this.#extended || node.operation === 'mutation' || !isPlain(this.#schema, document)) return undefined;
    const compiled = compileQuery(this.#extended, withCoercedVariables(document), node.name?.value);
    return isCompiledQuery(compiled) ? compiled.query : undefined;
  }
}

/** The library names resolvers by type and field written together: of two that come to the same, one would be called for both. */
function hasDistinctNames(schema: GraphQLSchema): boolean {
  const names = Object.values(schema.getTypeMap()).flatMap((type) =>
    isObjectType(type) ? Object.keys(type.getFields()).map((field) => type.name + field) : [],
  );
  return new Set(names).size === names.length && !schema.getType(COERCED.name);
}

/** Whether everything that would become code is of a kind that it can be trusted with. */
function isPlain(schema: GraphQLSchema, document: DocumentNode): boolean {
  let isPlainSoFar = selectionsIn(document) <= MOST_SELECTIONS;
  const refuse = () => {
    isPlainSoFar = false;
    return BREAK;
  };
  const info = new TypeInfo(schema);
  const literal = () => (isWrittenAsIs(info.getInputType()) ? undefined : refuse());
  const visitor: ASTVisitor = {
    Directive: refuse,
    StringValue: refuse,
    FloatValue: refuse,
    ListValue: refuse,
    ObjectValue: refuse,
    IntValue: ({ value }) => (String(Number(value)) === value ? literal() : refuse()),
    BooleanValue: literal,
    EnumValue: literal,
    // `__proto__`, `constructor` and the like, which objects have before anybody gives them.
    Name: ({ value }) => (value in Object.prototype ? refuse() : undefined),
    Field: ({ name, alias }) => {
      const isIntrospection = name.value === '__schema' || name.value === '__type'; // It would show the type `Coerced`.
      const isAmbiguous = alias?.value.includes('_'); // Paths are joined with `_`, so that two could be one.
      const hasObjects = info.getFieldDef()?.args.some(({ defaultValue }) => typeof defaultValue === 'object');
      return isIntrospection || isAmbiguous || hasObjects ? refuse() : undefined;
    },
    // It goes no further than `Variables`.
    VariableDefinition: ({ variable }) => (variable.name.value in Object.prototype ? refuse() : false),
  };
  visit(document, visitWithTypeInfo(info, visitor));
  return isPlainSoFar;
}

/** Values of one's own scalars may be objects, which do not survive being written into code. */
function isWrittenAsIs(type: GraphQLInputType | null | undefined): boolean {
  const named = type && getNamedType(type);
  return isEnumType(named) || (isScalarType(named) && isSpecifiedScalarType(named));
}

const withCoercedVariables = (document: DocumentNode): DocumentNode =>
  visit(document, {
    VariableDefinition: ({ kind, variable, loc }) => ({
      kind,
      variable,
      type: { kind: Kind.NAMED_TYPE, name: { kind: Kind.NAME, value: COERCED.name } },
      ...(loc && { loc }),
    }),
    // The library writes into selections, which the interpreter reads.
    Field: { leave: (field) => ({ ...field }) },
  });
