import { ApolloServer, type ApolloServerPlugin, type GraphQLRequest, type GraphQLResponse } from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
} from '@apollo/server/plugin/disabled';
import {
  GraphQLError,
  Kind,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { Renewed } from '../access/tokens.ts';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import type { Report } from '../replication/reads.ts';
import { bookmarkHeaders } from './bookmark-headers.ts';
import { executedBy, type Executor } from './execution.ts';
import { KnownDocuments, type KnownOperation } from './known.ts';
import type { Limits } from './limits/limits.ts';
import type { TrustedDocuments } from './limits/trusted.ts';
import { atStatus, codeIn, codeOf, isInternal, maskError } from './masking.ts';
import type { Operation } from './operation.ts';
import { sandbox } from './sandbox.ts';

export interface PipelineOptions {
  schema: GraphQLSchema;
  executor: Executor;
  limits: Limits;
  /** Whether clients may ask for the schema, and browsers see a page to explore it with. */
  introspection: boolean;
  trusted: TrustedDocuments | undefined;
  observer: Observer;
  log: Logger;
}

export interface Answer {
  /** Of the HTTP response; undefined: as usual. */
  status: number | undefined;
  headers: Iterable<[string, string]>;
  result: FormattedExecutionResult;
}

/**
 * The one pipeline of queries and mutations: HTTP, websocket and REST all run through it. Documents that come again, and
 * whose operation goes well, need of it no more than their limits and their execution: all else is Apollo Server's.
 */
export class Pipeline {
  readonly apollo: ApolloServer<Operation>;
  readonly #limits: Limits;
  readonly #known = new KnownDocuments();
  readonly #execute: ReturnType<typeof executedBy>['execute'];

  constructor(options: PipelineOptions) {
    const { schema, executor, limits, introspection, trusted, observer, log } = options;
    const { gateway, plugin: executing, execute } = executedBy(schema, executor);
    this.#limits = limits;
    this.#execute = execute;
    this.apollo = new ApolloServer<Operation>({
      gateway,
      introspection,
      hideSchemaDetailsFromClientErrors: !introspection,
      parseOptions: { maxLexicalTokens: limits.options.tokens },
      allowBatchedHttpRequests: false,
      ...(trusted && { persistedQueries: { cache: trusted.cache } }),
      includeStacktraceInErrorResponses: false,
      formatError: maskError,
      stopOnTerminationSignals: false,
      plugins: [
        ApolloServerPluginCacheControlDisabled(),
        introspection ? sandbox() : ApolloServerPluginLandingPageDisabled(),
        naming(observer),
        limiting(limits),
        reporting(log),
        this.#known.plugin,
        executing,
      ],
    });
  }

  async run(request: GraphQLRequest, contextValue: Operation): Promise<Answer> {
    const known = this.#known.find(request);
    const result =
      known &&
      (await this.#runKnown(known, request, contextValue).catch((error: unknown) => {
        report(contextValue, codeOf(error));
        throw error;
      }));
    if (result) {
      const { headers, extensions } = report(contextValue, 'ok');
      return { status: undefined, headers, result: { data: result.data, extensions } };
    }
    const { body, http } = await this.apollo.executeOperation(request, { contextValue });
    if (body.kind !== 'single') throw new Error('incremental delivery is not offered');
    return { status: http.status, headers: http.headers, result: body.singleResult };
  }

  /** Null: it is not to run, or has gone wrong, and Apollo says how. */
  async #runKnown(
    { document, operation }: KnownOperation,
    { operationName, variables }: GraphQLRequest,
    contextValue: Operation,
  ): Promise<ExecutionResult | null> {
    if (operation.operation === 'subscription') return null;
    contextValue.begun();
    try {
      admit(contextValue, operation);
      this.#limits.check(document, operation, variables ?? {});
    } catch {
      return null;
    }
    contextValue.observer?.known(operation.operation, operation.name?.value);
    return this.#execute({ document, operationName, variableValues: variables, contextValue });
  }
}

/** Tells of operations that are valid, and of requests that hold none. */
function naming(observer: Observer): ApolloServerPlugin<Operation> {
  return {
    invalidRequestWasReceived: async () =>
      observer.operation({ requestId: undefined, via: 'http' }).ended('BAD_REQUEST'),
    requestDidStart: async ({ contextValue }) => ({
      didResolveOperation: async ({ operation }) => {
        if (operation) contextValue.observer?.known(operation.operation, operation.name?.value);
      },
    }),
  };
}

/** An operation that is valid, and asks for too much, is refused before anything is read. */
function limiting(limits: Limits): ApolloServerPlugin<Operation> {
  return {
    requestDidStart: async ({ contextValue }) => {
      contextValue.begun();
      return {
        didResolveOperation: async ({ document, operation, request, contextValue: context }) => {
          try {
            if (operation) admit(context, operation);
            if (operation) limits.check(document, operation, request.variables ?? {});
          } catch (error) {
            throw atStatus(error);
          }
        },
      };
    },
  };
}

/** A token that was renewed too long ago is good for one operation alone. @throws ClientError UNAUTHENTICATED */
function admit({ viewer }: Operation, { selectionSet: { selections } }: OperationDefinitionNode): void {
  if (!viewer.renewed) return;
  const renews = selections.every((field) => field.kind === Kind.FIELD && field.name.value === 'renewToken');
  if (!renews) throw new Renewed(viewer.renewed);
}

/** Tells the client where its operation was answered, logs what the client is not told, and lets the place go. */
function reporting(log: Logger): ApolloServerPlugin<Operation> {
  return {
    requestDidStart: async () => ({
      didEncounterErrors: async ({ errors, contextValue }) => {
        for (const error of errors.filter(isInternal))
          log.error({ err: error.originalError ?? error, requestId: contextValue.requestId }, 'operation failed');
      },
      didResolveOperation: async ({ operation }) => {
        if (operation?.operation === 'subscription') throw overWebsocket();
      },
      willSendResponse: async ({ response: { body, http }, contextValue }) => {
        const { headers, extensions } = report(contextValue, outcomeOf(body));
        for (const [name, value] of headers) http.headers.set(name, value);
        if (body.kind === 'single') body.singleResult.extensions = { ...body.singleResult.extensions, ...extensions };
      },
    }),
  };
}

const overWebsocket = () =>
  new GraphQLError('Subscriptions run over the websocket of this address, by graphql-transport-ws.', {
    extensions: { code: 'BAD_REQUEST', http: { status: 400 } },
  });

interface Told {
  headers: [string, string][];
  extensions: { readback: Report };
}

/** Ends an operation: tells where it was answered. */
function report(operation: Operation, outcome: string): Told {
  const readback = operation.report();
  operation.release();
  operation.observer?.ended(outcome, readback);
  const { browser, reads } = operation;
  const headers = readback.bookmark === undefined ? [] : bookmarkHeaders(readback.bookmark, browser, reads.hasWritten);
  return { headers, extensions: { readback } };
}

function outcomeOf(body: GraphQLResponse['body']): string {
  const [error] = (body.kind === 'single' && body.singleResult.errors) || [];
  return error === undefined ? 'ok' : codeIn(error);
}
