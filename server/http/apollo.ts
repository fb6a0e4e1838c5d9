import { ApolloServer, HeaderMap, type ApolloServerPlugin, type GraphQLResponse } from '@apollo/server';
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
} from '@apollo/server/plugin/disabled';
import { GraphQLError } from 'graphql';
import { asClientError } from '../lib/errors.ts';
import type { Observer } from '../lib/observer.ts';
import { maskError, statusOf } from '../graphql/masking.ts';
import type { Operation } from '../graphql/operation.ts';
import type { Outcome, Pipeline } from '../graphql/pipeline.ts';
import type { TrustedDocuments } from '../graphql/trusted.ts';
import { sandbox } from './sandbox.ts';

export interface ApolloOptions {
  /** Whether clients may ask for the schema, and browsers see a page to explore it with. */
  introspection: boolean;
  trusted: TrustedDocuments | undefined;
  observer: Observer;
}

/** A request, as Apollo Server hands it on. */
export interface Exchange {
  operation: Operation;
  /** Its variables, with all digits of their numbers. */
  exact: () => unknown;
  /** Adds to its answer what HTTP says of an outcome. */
  came: (outcome: Outcome) => void;
}

/**
 * Apollo Server reads HTTP: GET, persisted queries, types of content, what browsers must not send. Of the operation itself
 * it does nothing: that is parsed, validated and run by the pipeline. It holds nothing that is to be released.
 */
export async function startApollo(
  pipeline: Pipeline,
  { introspection, trusted, observer }: ApolloOptions,
): Promise<ApolloServer<Exchange>> {
  const apollo = new ApolloServer<Exchange>({
    schema: pipeline.schema,
    introspection,
    documentStore: null,
    allowBatchedHttpRequests: false,
    ...(trusted && { persistedQueries: { cache: trusted.cache } }),
    includeStacktraceInErrorResponses: false,
    formatError: maskError,
    stopOnTerminationSignals: false,
    plugins: [
      ApolloServerPluginCacheControlDisabled(),
      introspection ? sandbox() : ApolloServerPluginLandingPageDisabled(),
      { invalidRequestWasReceived: async () => observer.operation(NO_OPERATION).ended('BAD_REQUEST') },
      running(pipeline),
    ],
  });
  await apollo.start();
  return apollo;
}

/** Of requests that hold none. */
const NO_OPERATION = { requestId: undefined, via: 'http' } as const;

function running(pipeline: Pipeline): ApolloServerPlugin<Exchange> {
  return {
    requestDidStart: async ({ contextValue: { operation, exact, came } }) => ({
      didResolveSource: async (context) => {
        const { document, errors } = pipeline.prepare(operation, context.source);
        // With a document Apollo parses and validates nothing.
        Object.assign(context, { document });
        if (errors.length > 0) context.metrics.persistedQueryRegister = false;
      },
      responseForOperation: async ({ source, request: { operationName, variables } }) => {
        const outcome = await pipeline.run(operation, { query: source, operationName, variables, exact });
        came(outcome);
        return responseOf(outcome);
      },
      // Where Apollo refuses a request itself, with a status of its own.
      willSendResponse: async ({ errors, response }) => {
        if (!errors) return;
        const outcome = pipeline.refuse(operation, errors);
        came(outcome);
        response.body = responseOf(outcome).body;
      },
    }),
  };
}

const responseOf = ({ status, result }: Outcome): GraphQLResponse => ({
  http: { status, headers: new HeaderMap() },
  body: { kind: 'single', singleResult: result },
});

/** The request failed as a whole: its status says so. */
export function atStatus(error: unknown): unknown {
  const client = asClientError(error);
  if (!client) return error;
  const { retryAfter } = client.extensions;
  const headers = typeof retryAfter === 'number' && new HeaderMap([['retry-after', String(retryAfter)]]);
  const http = { status: statusOf(client.code), ...(headers && { headers }) };
  return new GraphQLError(client.message, { originalError: client, extensions: { ...client.extensions, http } });
}
