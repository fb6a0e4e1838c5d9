import {
  ApolloServer,
  HeaderMap,
  type ApolloServerPlugin,
  type GraphQLRequest,
  type GraphQLResponse,
} from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
} from '@apollo/server/plugin/disabled';
import {
  getOperationAST,
  GraphQLError,
  Kind,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { Renewed } from '../auth/tokens.ts';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import type { Report } from '../reads/reads.ts';
import { bookmarkHeaders } from './bookmark-headers.ts';
import type { Documents } from './documents.ts';
import { executedBy, type Executor } from './execution.ts';
import { withoutNames, type Hide } from './hidden-names.ts';
import type { Limits } from './limits/limits.ts';
import type { TrustedDocuments } from './limits/trusted.ts';
import { atStatus, codeIn, codeOf, isInternal, maskError } from './masking.ts';
import type { Operation } from './operation.ts';
import { sandbox } from './sandbox.ts';

export interface PipelineOptions {
  schema: GraphQLSchema;
  executor: Executor;
  documents: Documents;
  limits: Limits;
  /** Whether clients may ask for the schema, and browsers see a page to explore it with. */
  introspection: boolean;
  /** Undefined: they may, so nothing is hidden. */
  hide: Hide | undefined;
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
  readonly #documents: Documents;
  readonly #limits: Limits;
  readonly #execute: ReturnType<typeof executedBy>['execute'];

  constructor(options: PipelineOptions) {
    const { schema, executor, documents, limits, introspection, trusted, observer, log } = options;
    const { gateway, plugin: executing, execute } = executedBy(schema, executor);
    this.#documents = documents;
    this.#limits = limits;
    this.#execute = execute;
    this.apollo = new ApolloServer<Operation>({
      gateway,
      introspection,
      // `prepare` does it, and keeps what it found.
      dangerouslyDisableValidation: true,
      documentStore: null,
      parseOptions: { maxLexicalTokens: limits.options.tokens },
      allowBatchedHttpRequests: false,
      ...(trusted && { persistedQueries: { cache: trusted.cache } }),
      includeStacktraceInErrorResponses: false,
      formatError: maskError,
      stopOnTerminationSignals: false,
      plugins: [
        ApolloServerPluginCacheControlDisabled(),
        introspection ? sandbox() : ApolloServerPluginLandingPageDisabled(),
        invalid(observer),
        preparing(documents, limits),
        reporting(log, options.hide),
        executing,
      ],
    });
  }

  async run(request: GraphQLRequest, contextValue: Operation): Promise<Answer> {
    contextValue.read ??= this.#documents.known(request.query ?? '');
    const result = await this.#runKnown(request, contextValue).catch((error: unknown) => {
      report(contextValue, codeOf(error));
      throw error;
    });
    if (result) {
      const { headers, extensions } = report(contextValue, 'ok');
      return { status: undefined, headers, result: { data: result.data, extensions } };
    }
    const { body, http } = await this.apollo.executeOperation(request, { contextValue }).finally(contextValue.release);
    if (body.kind !== 'single') throw new Error('incremental delivery is not offered');
    return { status: http.status, headers: http.headers, result: body.singleResult };
  }

  /** Null: it is not known, is not to run, or has gone wrong, and Apollo says how. */
  async #runKnown(
    { operationName, variables }: GraphQLRequest,
    contextValue: Operation,
  ): Promise<ExecutionResult | null> {
    const { read, viewer } = contextValue;
    if (!read || read.errors.length > 0) return null;
    const { document } = read;
    const operation = getOperationAST(document, operationName);
    if (!operation || operation.operation === 'subscription') return null;
    contextValue.begun();
    try {
      this.#documents.check(read, viewer);
      admit(contextValue, operation);
      // Awaited only where there is something to wait for: most of what comes has no need of it.
      const turn = this.#limits.pay(contextValue, document, operation, variables ?? {});
      if (turn) await turn;
    } catch {
      // Refused: the long way finds that, too, and says it.
      return null;
    }
    contextValue.observer?.known(operation.operation, operation.name?.value);
    return this.#execute({ document, operationName, variableValues: variables, contextValue });
  }
}

/** Tells of requests that hold no operation. */
function invalid(observer: Observer): ApolloServerPlugin<Operation> {
  return {
    invalidRequestWasReceived: async () =>
      observer.operation({ requestId: undefined, via: 'http' }).ended('BAD_REQUEST'),
  };
}

/** A document that is not valid, or an operation that asks for too much, is refused before anything is read. */
function preparing(documents: Documents, limits: Limits): ApolloServerPlugin<Operation> {
  return {
    requestDidStart: async ({ contextValue }) => {
      contextValue.begun();
      return {
        didResolveSource: async (context) => {
          contextValue.read ??= documents.known(context.source);
          // Apollo parses it where it is not there yet.
          if (contextValue.read) Object.assign(context, { document: contextValue.read.document });
        },
        didResolveOperation: async (context) => {
          const { source, operation, request } = context;
          try {
            contextValue.read ??= limits.read(documents, source, contextValue);
            const { document, errors } = documents.check(contextValue.read, contextValue.viewer);
            Object.assign(context, { document });
            if (errors.length > 0 || !operation) return;
            contextValue.observer?.known(operation.operation, operation.name?.value);
            admit(contextValue, operation);
            // Over HTTP it is refused below.
            if (operation.operation !== 'subscription')
              await limits.pay(contextValue, document, operation, request.variables ?? {});
          } catch (error) {
            throw atStatus(error);
          }
          if (operation.operation === 'subscription') throw overWebsocket();
        },
        responseForOperation: async () => {
          const { errors } = contextValue.read!;
          return errors.length > 0 ? refused(errors) : null;
        },
      };
    },
  };
}

const refused = (errors: readonly GraphQLError[]): GraphQLResponse => ({
  http: { status: 400, headers: new HeaderMap() },
  body: { kind: 'single', singleResult: { errors: errors.map((error) => maskError(error.toJSON(), error)) } },
});
/** A token that was renewed too long ago is good for one operation alone. @throws ClientError UNAUTHENTICATED */
function admit({ viewer }: Operation, { selectionSet: { selections } }: OperationDefinitionNode): void {
  if (!viewer.renewed) return;
  const renews = selections.every((field) => field.kind === Kind.FIELD && field.name.value === 'renewToken');
  if (!renews) throw new Renewed(viewer.renewed);
}

/** Tells the client where its operation was answered, logs what the client is not told, and lets the place go. */
function reporting(log: Logger, hide: Hide | undefined): ApolloServerPlugin<Operation> {
  return {
    requestDidStart: async () => ({
      didEncounterErrors: async ({ errors, contextValue }) => {
        for (const error of errors.filter(isInternal))
          log.error({ err: error.originalError ?? error, requestId: contextValue.requestId }, 'operation failed');
      },
      willSendResponse: async ({ response: { body, http }, contextValue, request, errors }) => {
        const { headers, extensions } = report(contextValue, outcomeOf(body));
        for (const [name, value] of headers) http.headers.set(name, value);
        if (body.kind !== 'single') return;
        const { singleResult: result } = body;
        result.extensions = { ...result.extensions, ...extensions };
        const sent = contextValue.read?.document.loc?.source.body ?? request.query ?? '';
        const causes = errors ?? contextValue.read?.errors ?? [];
        if (hide && result.errors)
          result.errors = result.errors.map((error, index) =>
            withoutNames(hide, error, causes[index], sent, contextValue.via),
          );
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
