import { HeaderMap, type ApolloServerPlugin, type GraphQLResponse } from '@apollo/server';
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

/**
 * How Apollo Server executes. What goes well is handed to it as an answer that is ready, which spares it a twentieth of a
 * small query's time; what does not goes the way of a gateway's result, on which it gives errors their codes and forms.
 */
export function executedBy(schema: GraphQLSchema, executor: Executor) {
  const gateway: GatewayInterface = {
    load: async () => ({ executor: async ({ context }) => (context as Failing).failed! }),
    onSchemaLoadOrUpdate: (loaded) => {
      loaded({ apiSchema: schema, coreSupergraphSdl: '' });
      return () => {};
    },
    stop: async () => {},
  };
  /** Null: it has run and gone wrong, and the gateway says so. It never runs twice. */
  const execute = async (args: Arguments & { contextValue: Failing }): Promise<ExecutionResult | null> => {
    if (args.contextValue.failed) return null;
    const result = await executor.execute(args);
    if (!result.errors) return result;
    args.contextValue.failed = result;
    return null;
  };
  const plugin: ApolloServerPlugin<Failing> = {
    requestDidStart: async () => ({
      responseForOperation: async ({ document, request, contextValue }) => {
        const { operationName, variables: variableValues } = request;
        const result = await execute({ document, operationName, contextValue, variableValues });
        return result && ready(result);
      },
    }),
  };
  return { gateway, plugin, execute };
}

/** A context. Apollo Server works with a copy of it, which has what the context has by then. */
export interface Failing {
  /** What its operation came to. */
  failed?: ExecutionResult;
}

const ready = ({ data }: ExecutionResult): GraphQLResponse => ({
  http: { status: undefined, headers: new HeaderMap() },
  body: { kind: 'single', singleResult: { data: data ?? null } },
});
