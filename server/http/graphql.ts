import { fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Operations } from '../graphql/operation.ts';
import type { GraphQLRequest, Pipeline } from '../graphql/pipeline.ts';
import { atStatus, startApollo, type ApolloOptions, type Exchange } from './apollo.ts';
import { addHeaders, begin, exactly } from './exchange.ts';
import { SANDBOX_HEADERS } from './security-headers.ts';

/** POST, and GET for queries and for the page that browsers see. */
export async function addGraphQL(
  app: FastifyInstance,
  path: string,
  pipeline: Pipeline,
  operations: Operations,
  options: ApolloOptions,
): Promise<void> {
  const apollo = await startApollo(pipeline, options);
  const beginFor = async (request: FastifyRequest, reply: FastifyReply): Promise<Exchange> => {
    const operation = await begin(operations, request, reply, 'http').catch((error: unknown) => {
      throw atStatus(error);
    });
    return { operation, exact: exactly(request), came: (outcome) => addHeaders(request, reply, outcome) };
  };
  const byApollo = fastifyApolloHandler(apollo, { context: beginFor });
  app.get(path, (request, reply) => byApollo.call(app, request, reply.headers(SANDBOX_HEADERS)));
  app.post(path, async (request, reply) => {
    const plain = plainRequest(request);
    if (!plain) return byApollo.call(app, request, reply);
    try {
      return await answer(pipeline, plain, await beginFor(request, reply), reply);
    } catch (error) {
      const refused = fastifyApolloHandler(apollo, { context: () => Promise.reject(error as Error) });
      return refused.call(app, request, reply);
    }
  });
}

const JSON_TYPE = 'application/json; charset=utf-8';
const GRAPHQL_TYPE = 'application/graphql-response+json; charset=utf-8';

/** What clients say that they take: most of them one of these, word for word. */
const TYPES: Record<string, string> = {
  '': JSON_TYPE,
  '*/*': JSON_TYPE,
  'application/json': JSON_TYPE,
  'application/json, */*': JSON_TYPE,
  'application/graphql-response+json': GRAPHQL_TYPE,
  'application/graphql-response+json, application/json;q=0.9': GRAPHQL_TYPE,
  'application/graphql-response+json,application/json;q=0.9': GRAPHQL_TYPE,
};

interface Plain {
  sent: GraphQLRequest;
  /** Of the answer. */
  type: string;
}

/**
 * An operation sent as most clients send theirs: with POST, as JSON, each part of its type. It needs none of Apollo's
 * reading of HTTP. Undefined: any other, which Apollo reads, or says what is wrong.
 */
function plainRequest({ headers, body }: FastifyRequest): Plain | undefined {
  const type = TYPES[headers.accept ?? ''];
  if (type === undefined || !isRecord(body)) return undefined;
  const { query, operationName, variables, extensions } = body;
  if (typeof query !== 'string' || query === '' || !isAbsent(extensions)) return undefined;
  if (!isAbsent(operationName) && typeof operationName !== 'string') return undefined;
  if (!isAbsent(variables) && !isRecord(variables)) return undefined;
  return { sent: { query, operationName, variables }, type };
}

const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value);

/** The same answer that Apollo would send. */
async function answer(
  pipeline: Pipeline,
  { sent, type }: Plain,
  { operation, exact, came }: Exchange,
  reply: FastifyReply,
): Promise<string> {
  const outcome = await pipeline.run(operation, { ...sent, exact });
  came(outcome);
  void reply.code(outcome.status).header('content-type', type);
  return `${JSON.stringify(outcome.result)}\n`;
}
