import { HeaderMap, type ApolloServerPlugin, type GraphQLResponse } from '@apollo/server';
import type { GatewayInterface } from '@apollo/server-gateway-interface';
import {
  execute,
  getOperationAST,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLError,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import type { Loaders } from '../reads/loaders.ts';
import { Compiler, type Arguments, type CompiledRun } from './compiled.ts';
import { Variables } from './variables.ts';

/** Compiling costs as much as some tens of executions: what is sent once is not worth it. */
const COMPILED_AFTER = 3;
/** Times that an operation is interpreted after it went wrong compiled, so that what always does costs a tenth more, not twice. */
const INTERPRETED_AFTER_ERROR = 10;

/** Executes documents, and compiles those that come again into functions of their own. The documents are valid. */
export class Executor {
  readonly #schema: GraphQLSchema;
  readonly #compiler: Compiler;
  readonly #variables: Variables;
  /** Gone with the documents' own cache. */
  readonly #known = new WeakMap<OperationDefinitionNode, Known>();

  constructor(schema: GraphQLSchema) {
    this.#schema = schema;
    this.#compiler = new Compiler(schema);
    this.#variables = new Variables(schema);
  }

  /** What is wrong with the variables. The interpreter would say it too, fifty times with all of the variable in each. */
  faultIn({ document, operationName, variableValues }: Arguments): GraphQLError | undefined {
    const operation = getOperationAST(document, operationName);
    return operation ? this.#variables.faultIn(operation, variableValues ?? {}) : undefined;
  }

  async execute(args: Arguments): Promise<ExecutionResult> {
    const operation = getOperationAST(args.document, args.operationName);
    const known = operation && this.#find(operation);
    const run = known && this.#compiled(known, args.document, operation);
    const result = run && (await run(args));
    if (result && !result.errors) return result;
    // Queries and events alone are compiled, which may be executed twice: what is wrong, the interpreter says.
    if (!result) {
      const fault = this.faultIn(args);
      return fault ? { errors: [fault] } : execute({ schema: this.#schema, ...args });
    }
    known.untilCompiled = INTERPRETED_AFTER_ERROR;
    return execute({ schema: this.#schema, ...args, contextValue: afresh(args.contextValue as Repeatable) });
  }

  #find(operation: OperationDefinitionNode): Known {
    const known = this.#known.get(operation) ?? { untilCompiled: COMPILED_AFTER, run: undefined };
    if (known.untilCompiled === COMPILED_AFTER) this.#known.set(operation, known);
    return known;
  }

  #compiled(known: Known, document: DocumentNode, operation: OperationDefinitionNode): CompiledRun | undefined {
    if (known.untilCompiled-- > 0) return undefined;
    known.run ??= this.#compiler.compile(document, operation);
    if (!known.run) known.untilCompiled = Infinity;
    return known.run;
  }
}

/** A context whose operation can be run again. */
export interface Repeatable {
  loaders: Loaders;
  freshLoaders: () => Loaders;
}

/** What failed was kept, and would fail at once: of several that do, another one would be told. */
const afresh = (context: Repeatable): Repeatable => ({ ...context, loaders: context.freshLoaders() });

interface Known {
  /** Times that it is still interpreted. */
  untilCompiled: number;
  run: CompiledRun | undefined;
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
