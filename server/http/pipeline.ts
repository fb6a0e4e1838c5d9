import { ApolloServer, type ApolloServerPlugin, type GraphQLRequestContextWillSendResponse } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled } from '@apollo/server/plugin/disabled';
import { GraphQLError, type GraphQLSchema } from 'graphql';
import type { Logger } from '../lib/logger.ts';
import { bookmarkHeaders } from './bookmark-headers.ts';
import { isInternal, maskError } from './masking.ts';
import type { Operation } from './operation.ts';
import { sandbox } from './sandbox.ts';

/** The one pipeline of queries and mutations: HTTP, websocket and REST all run through it. */
export function createPipeline(schema: GraphQLSchema, log: Logger): ApolloServer<Operation> {
  return new ApolloServer<Operation>({
    schema,
    introspection: true,
    includeStacktraceInErrorResponses: false,
    formatError: maskError,
    stopOnTerminationSignals: false,
    plugins: [ApolloServerPluginCacheControlDisabled(), sandbox(), reporting(log)],
  });
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
  const headers =
    readback.bookmark === undefined
      ? []
      : bookmarkHeaders(readback.bookmark, contextValue.browser, contextValue.reads.hasWritten);
  for (const [name, value] of headers) response.http.headers.set(name, value);
  if (response.body.kind === 'single') {
    response.body.singleResult.extensions = { ...response.body.singleResult.extensions, readback };
  }
}
