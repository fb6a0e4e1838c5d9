import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { print, type GraphQLFormattedError } from 'graphql';
import {
  CreateUserDocument,
  DeleteUserDocument,
  ReplaceUserDocument,
  UpdateUserDocument,
  UserDocument,
  UserListDocument,
} from '../../schema/generated/operations.ts';
import { badInput, notFound } from '../lib/errors.ts';
import { clearedCookies } from './bookmark-cookies.ts';
import { wishesOf } from './bookmark-headers.ts';
import { abandonWith } from './graphql.ts';
import { maskError } from './masking.ts';
import type { Operations } from './operation.ts';
import type { Pipeline } from './pipeline.ts';
import { fromRest, statusOf, toRest } from './rest-form.ts';

type WithId = { Params: { id: string } };
type WithPage = { Querystring: { limit?: string; after?: string } };

/** The seed's routes. Each runs a document of schema/operations through the pipeline: there is no second code path. */
export function addRest(app: FastifyInstance, pipeline: Pipeline, operations: Operations): void {
  const run = runner(pipeline, operations);

  app.get<WithPage>('/api/users', async (request, reply) => {
    const { limit, after } = request.query;
    const { users } = await run(
      UserListDocument,
      { first: limit === undefined ? null : parseLimit(limit), after: after ?? null },
      request,
      reply,
    );
    if (users.pageInfo.hasNextPage) void reply.header('link', nextLink(limit, users.pageInfo.endCursor!));
    return { success: true, data: users.nodes.map(toRest), count: users.nodes.length };
  });

  app.get<WithId>('/api/users/:id', async (request, reply) => {
    const { user } = await run(UserDocument, request.params, request, reply);
    if (!user) throw notFound('user', request.params.id);
    return { success: true, data: toRest(user) };
  });

  app.post('/api/users', async (request, reply) => {
    const { createUser } = await run(CreateUserDocument, { input: fromRest(request.body) as never }, request, reply);
    void reply.code(201).header('location', `/api/users/${createUser.user.id}`);
    return { success: true, message: 'User created', data: toRest(createUser.user) };
  });

  app.put<WithId>('/api/users/:id', async (request, reply) => {
    const { replaceUser } = await run(
      ReplaceUserDocument,
      { ...request.params, input: fromRest(request.body) as never },
      request,
      reply,
    );
    return { success: true, message: 'User replaced', data: toRest(replaceUser.user) };
  });

  app.patch<WithId>('/api/users/:id', async (request, reply) => {
    const { updateUser } = await run(
      UpdateUserDocument,
      { ...request.params, input: fromRest(request.body) as never },
      request,
      reply,
    );
    return { success: true, message: 'User updated', data: toRest(updateUser.user) };
  });

  app.delete<WithId>('/api/users/:id', async (request, reply) => {
    const { deleteUser } = await run(DeleteUserDocument, request.params, request, reply);
    return { success: true, message: 'User deleted', data: toRest(deleteUser.user) };
  });
}

/** Carries the pipeline's first error to the error handler. */
export class RestError extends Error {
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(error: GraphQLFormattedError) {
    super(error.message);
    const { code, field, retryAfter } = (error.extensions ?? {}) as {
      code?: string;
      field?: string;
      retryAfter?: number;
    };
    this.retryAfter = retryAfter;
    this.code = code ?? 'INTERNAL_SERVER_ERROR';
    this.field = field;
    this.status = statusOf(this.code);
  }
}

function runner(pipeline: Pipeline, operations: Operations) {
  const texts = new WeakMap<TypedDocumentNode<never, never>, string>();
  const textOf = (document: TypedDocumentNode<never, never>) => {
    const text = texts.get(document) ?? print(document);
    texts.set(document, text);
    return text;
  };
  return async <Data, Variables extends object>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<Data> => {
    const contextValue = await operations.begin(wishesOf(request, 'rest'));
    abandonWith(reply, contextValue);
    const query = textOf(document as unknown as TypedDocumentNode<never, never>);
    const { headers, result } = await pipeline.run({ query, variables: { ...variables } }, contextValue);
    for (const [name, value] of headers)
      if (name.startsWith('readback-') || name === 'set-cookie') void reply.header(name, value);
    if (result.errors?.[0]) throw new RestError(result.errors[0]);
    return result.data as Data;
  };
}

function parseLimit(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw badInput(`limit must be a whole number from 0 to 100, got: ${text.slice(0, 50)}`, 'limit');
}

/** Relative, as the server knows its own name by what clients say it is. */
function nextLink(limit: string | undefined, after: string): string {
  const query = new URLSearchParams({ ...(limit !== undefined && { limit }), after });
  return `</api/users?${query.toString()}>; rel="next"`;
}

/** A client's error as the seed shapes it. Undefined: it is none, and the log's business. */
export function restErrorBody(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  const rest = error instanceof RestError ? error : fromClientError(error);
  if (!rest) return undefined;
  if (rest.code === 'BAD_BOOKMARK') void reply.header('set-cookie', clearedCookies(request));
  if (rest.retryAfter !== undefined) void reply.header('retry-after', rest.retryAfter);
  void reply.code(rest.status);
  return {
    success: false,
    message: rest.message,
    error: rest.code,
    ...(rest.field !== undefined && { field: rest.field }),
  };
}

function fromClientError(error: unknown): RestError | undefined {
  const masked = maskError({ message: '' }, error);
  return masked.extensions?.['code'] === 'INTERNAL_SERVER_ERROR' ? undefined : new RestError(masked);
}
