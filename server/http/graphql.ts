import { fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Operation, Operations, RequestOptions } from '../graphql/operation.ts';
import type { GraphQLRequest, Outcome, Pipeline } from '../graphql/pipeline.ts';
import { bookmarkList } from '../graphql/positions.ts';
import { asClientError } from '../lib/errors.ts';
import { parseExactly } from '../lib/exact-json.ts';
import type { Via } from '../lib/observer.ts';
import { atStatus, startApollo, type ApolloOptions, type Exchange } from './apollo.ts';
import { bookmarksIn, clearedCookies, setCookie } from './cookies.ts';
import { SANDBOX_HEADERS } from './security-headers.ts';

const BOOKMARK_HEADER = 'readback-bookmark';
const CONSISTENCY_HEADER = 'readback-consistency';

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

/** Begins an operation as a request's headers ask for. Who hangs up does not wait for its answer. @throws as Operations.begin */
export async function begin(
  operations: Operations,
  request: FastifyRequest,
  reply: FastifyReply,
  via: Via,
): Promise<Operation> {
  try {
    const operation = await operations.begin(optionsOf(request, via));
    reply.raw.once('close', () => reply.raw.writableFinished || operation.abandon());
    return operation;
  } catch (error) {
    if (asClientError(error)?.code === 'BAD_BOOKMARK') void reply.header('set-cookie', clearedCookies(request));
    throw error;
  }
}

/** The header wins over the cookies: whoever sets it knows what it read. */
function optionsOf(request: FastifyRequest, via: Via): RequestOptions {
  const header = headerOf(request, BOOKMARK_HEADER);
  return {
    requestId: request.id,
    via,
    traceparent: headerOf(request, 'traceparent'),
    address: request.ip,
    authorization: request.headers.authorization,
    bookmarks: header === undefined ? bookmarksIn(request) : bookmarkList(header),
    consistency: headerOf(request, CONSISTENCY_HEADER),
  };
}

/** The variables of a request, with all digits of their numbers. */
const exactly =
  ({ method, query, text }: FastifyRequest) =>
  () =>
    method === 'POST'
      ? (parseExactly(text) as { variables?: unknown }).variables
      : parseExactly((query as { variables: string }).variables);

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The headers that an answer has for what its operation came to. */
export function addHeaders(request: FastifyRequest, reply: FastifyReply, outcome: Outcome): void {
  const { bookmark, hasWritten, retryAfter } = outcome;
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  if (bookmark === undefined) return;
  void reply.header(BOOKMARK_HEADER, bookmark);
  const cookie = setCookie(request, bookmark, hasWritten);
  if (cookie !== undefined) void reply.header('set-cookie', cookie);
}
