import {
  BREAK,
  getNamedType,
  GraphQLScalarType,
  GraphQLSchema,
  isEnumType,
  isObjectType,
  isScalarType,
  isSpecifiedScalarType,
  Kind,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type ASTVisitor,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type GraphQLInputType,
  type OperationDefinitionNode,
} from 'graphql';
import { compileQuery, isCompiledQuery, type CompiledQuery } from 'graphql-jit';
import { Variables } from './variables.ts';
import { selectionsIn } from './limits/size.ts';

export type Arguments = Pick<
  ExecutionArgs,
  'document' | 'operationName' | 'rootValue' | 'contextValue' | 'variableValues'
>;
/** Undefined: the variables are not of their types. What has gone wrong, and how, the interpreter says. */
export type CompiledRun = (args: Arguments) => ExecutionResult | Promise<ExecutionResult> | undefined;

/** Larger documents take too long to compile: the code holds each selection as often as fragments repeat it. */
const MOST_SELECTIONS = 500;

/** Takes variables as they are: they were coerced before, by graphql itself. */
const COERCED = new GraphQLScalarType({ name: 'Coerced' });

/**
 * Makes functions of documents with graphql-jit, where what they answer is what graphql's interpreter answers. That
 * library writes code around what a document holds, and knows less of GraphQL than the interpreter: directives in nested
 * fragments, defaults of variables, variables inside other values and what happens to errors are other than they should
 * be, and a text of a client's can become code. So it gets documents of names, whole numbers, enum values and variables
 * alone, variables that are coerced, and no say in what went wrong.
 */
export class Compiler {
  readonly #schema: GraphQLSchema;
  readonly #variables: Variables;
  /** With the type that coerced variables are of. */
  readonly #extended: GraphQLSchema | undefined;

  constructor(schema: GraphQLSchema) {
    this.#schema = schema;
    this.#variables = new Variables(schema);
    const config = schema.toConfig();
    if (hasDistinctNames(schema))
      this.#extended = new GraphQLSchema({ ...config, types: [...config.types, COERCED], assumeValid: true });
  }

  /** Undefined: this one is to be interpreted. The document is valid. */
  compile(document: DocumentNode, operation: OperationDefinitionNode): CompiledRun | undefined {
    if (!this.#extended || operation.operation === 'mutation' || !isPlain(this.#schema, document)) return undefined;
    const compiled = compileQuery(this.#extended, withCoercedVariables(document), operation.name?.value);
    return isCompiledQuery(compiled) ? this.#runOf(compiled, operation) : undefined;
  }

  #runOf({ query }: CompiledQuery, operation: OperationDefinitionNode): CompiledRun {
    return ({ rootValue, contextValue, variableValues }) => {
      const coerced = this.#variables.coerce(operation, variableValues ?? {});
      return coerced && query(rootValue, contextValue, coerced);
    };
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
