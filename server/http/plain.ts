import type { FastifyReply, FastifyRequest } from 'fastify';
import type { GraphQLRequest } from '@apollo/server';
import type { Operation } from '../graphql/operation.ts';
import type { Pipeline } from '../graphql/pipeline.ts';

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

export interface PlainRequest {
  operation: GraphQLRequest;
  /** Of the answer. */
  type: string;
}

/**
 * An operation sent as most clients send theirs: with POST, as JSON, each part of its type. It needs none of Apollo's
 * reading of HTTP. Undefined: any other, which Apollo reads, or says what is wrong.
 */
export function plainRequest({ method, headers, body }: FastifyRequest): PlainRequest | undefined {
  const type = TYPES[headers.accept ?? ''];
  if (type === undefined || method !== 'POST' || !isRecord(body)) return undefined;
  const { query, operationName, variables, extensions } = body;
  if (typeof query !== 'string' || !isAbsent(extensions)) return undefined;
  if (!isAbsent(operationName) && typeof operationName !== 'string') return undefined;
  if (!isAbsent(variables) && !isRecord(variables)) return undefined;
  return { operation: { query, operationName: operationName ?? undefined, variables: variables ?? undefined }, type };
}

const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value);

/** The same answer that Apollo would send. */
export async function answerPlain(
  pipeline: Pipeline,
  { operation, type }: PlainRequest,
  contextValue: Operation,
  reply: FastifyReply,
): Promise<string> {
  const { status = 200, headers, result } = await pipeline.run(operation, contextValue);
  void reply.code(status);
  for (const [name, value] of headers) void reply.header(name, value);
  void reply.header('content-type', type);
  const { errors, data, extensions } = result;
  return `${JSON.stringify({ errors, data, extensions })}\n`;
}
