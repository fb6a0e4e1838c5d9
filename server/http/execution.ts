import type { GatewayInterface } from '@apollo/server-gateway-interface';
import { execute, type DocumentNode, type ExecutionArgs, type ExecutionResult, type GraphQLSchema } from 'graphql';
import { compileQuery, isCompiledQuery, type CompiledQuery } from 'graphql-jit';

type Arguments = Pick<ExecutionArgs, 'document' | 'operationName' | 'rootValue' | 'contextValue' | 'variableValues'>;
type Result = ExecutionResult | Promise<ExecutionResult>;
type Run = (args: Arguments) => Result;

/** Compiling costs as much as some tens of executions: what is sent once is not worth it. */
const COMPILED_AFTER = 3;

/** Executes documents, and compiles those that come again into functions of their own. The documents are valid. */
export class Executor {
  readonly #schema: GraphQLSchema;
  /** By document and, within it, operation: gone with the documents' own cache. */
  readonly #known = new WeakMap<DocumentNode, Map<string, Known>>();

  constructor(schema: GraphQLSchema) {
    this.#schema = schema;
  }

  execute(args: Arguments): Result {
    const known = this.#find(args.document, args.operationName ?? '');
    return (known.run ??= this.#compile(known, args))?.(args) ?? this.#interpret(args);
  }

  #find(document: DocumentNode, name: string): Known {
    const operations = this.#known.get(document) ?? new Map<string, Known>();
    const known = operations.get(name) ?? { times: 0, run: undefined };
    if (known.times === 0) this.#known.set(document, operations.set(name, known));
    return known;
  }

  #compile(known: Known, { document, operationName }: Arguments): Run | undefined {
    if (++known.times <= COMPILED_AFTER) return undefined;
    const compiled = compileQuery(this.#schema, document, operationName ?? undefined);
    return isCompiledQuery(compiled) ? this.#runOf(compiled) : (args) => this.#interpret(args);
  }

  /** Variables that are not of their types are refused before anything runs: the interpreter says it by the book. */
  #runOf({ query }: CompiledQuery): Run {
    return (args) => {
      const result = query(args.rootValue, args.contextValue, args.variableValues ?? {});
      return 'errors' in result && result.data === undefined ? this.#interpret(args) : result;
    };
  }

  #interpret(args: Arguments): Result {
    return execute({ schema: this.#schema, ...args });
  }
}

interface Known {
  times: number;
  run: Run | undefined;
}

/** The executor in the form in which Apollo Server takes one. */
export function asGateway(schema: GraphQLSchema, executor: Executor): GatewayInterface {
  return {
    load: async () => ({
      executor: async ({ document, request, context }) =>
        executor.execute({
          document,
          operationName: request.operationName,
          contextValue: context,
          variableValues: request.variables,
        }),
    }),
    onSchemaLoadOrUpdate: (loaded) => {
      loaded({ apiSchema: schema, coreSupergraphSdl: '' });
      return () => {};
    },
    stop: async () => {},
  };
}
