import { ApolloServer, type ApolloServerPlugin, type GraphQLRequestContextWillSendResponse } from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
} from '@apollo/server/plugin/disabled';
import { GraphQLError, type GraphQLSchema } from 'graphql';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import { bookmarkHeaders } from './bookmark-headers.ts';
import { executedBy, type Executor } from './execution.ts';
import { atStatus } from './graphql.ts';
import type { Limits } from './limits/limits.ts';
import type { TrustedDocuments } from './limits/trusted.ts';
import { codeIn, isInternal, maskError } from './masking.ts';
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

/** The one pipeline of queries and mutations: HTTP, websocket and REST all run through it. */
export function createPipeline(options: PipelineOptions): ApolloServer<Operation> {
  const { schema, executor, limits, introspection, trusted, observer, log } = options;
  const { gateway, plugin: executing } = executedBy(schema, executor);
  return new ApolloServer<Operation>({
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
      executing,
    ],
  });
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
        didResolveOperation: async ({ document, operation, request }) => {
          try {
            if (operation) limits.check(document, operation, request.variables ?? {});
          } catch (error) {
            throw atStatus(error);
          }
        },
      };
    },
  };
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
      willSendResponse: async (request) => report(request),
    }),
  };
}

const overWebsocket = () =>
  new GraphQLError('Subscriptions run over the websocket of this address, by graphql-transport-ws.', {
    extensions: { code: 'BAD_REQUEST', http: { status: 400 } },
  });

async function report({ response, contextValue }: GraphQLRequestContextWillSendResponse<Operation>): Promise<void> {
  const readback = contextValue.report();
  contextValue.release();
  contextValue.observer?.ended(outcomeOf(response.body), readback);
  const headers =
    readback.bookmark === undefined
      ? []
      : bookmarkHeaders(readback.bookmark, contextValue.browser, contextValue.reads.hasWritten);
  for (const [name, value] of headers) response.http.headers.set(name, value);
  if (response.body.kind === 'single') {
    response.body.singleResult.extensions = { ...response.body.singleResult.extensions, readback };
  }
}

function outcomeOf(body: GraphQLRequestContextWillSendResponse<Operation>['response']['body']): string {
  const [error] = (body.kind === 'single' && body.singleResult.errors) || [];
  return error === undefined ? 'ok' : codeIn(error);
}
