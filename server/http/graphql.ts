import { fastifyApolloHandler } from '@as-integrations/fastify';
import type { ApolloServer } from '@apollo/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GraphQLError } from 'graphql';
import { asClientError } from '../lib/errors.ts';
import { clearedCookies, wishesOf } from './bookmark-headers.ts';
import type { Operation, Operations } from './operation.ts';
import type { TrustedDocuments } from './limits/trusted.ts';
import { codeOf } from './masking.ts';
import { statusOf } from './rest-form.ts';

/** Apollo's page says by itself which scripts and frames it needs, with a nonce for each that it has: the rest is said here. */
const PAGE = {
  useDefaults: false,
  directives: {
    defaultSrc: ['*', "'unsafe-inline'", 'data:', 'blob:', 'ws:', 'wss:'],
    objectSrc: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  },
};

/** POST, and GET for queries and for the page that browsers see. */
export function addGraphQL(
  app: FastifyInstance,
  pipeline: ApolloServer<Operation>,
  operations: Operations,
  trusted: TrustedDocuments | undefined,
  path: string,
): void {
  const handler = fastifyApolloHandler(pipeline, {
    context: (request, reply) => begin(operations, trusted, request, reply),
  });
  app.route({ method: ['GET', 'POST'], url: path, handler, helmet: { contentSecurityPolicy: PAGE } });
}

async function begin(
  operations: Operations,
  trusted: TrustedDocuments | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Operation> {
  try {
    const operation = await operations.begin(wishesOf(request, 'http'));
    if (trusted) checkTrusted(trusted, request, operation);
    abandonWith(reply, operation);
    return operation;
  } catch (error) {
    const client = asClientError(error);
    if (!client) throw error;
    if (client.code === 'BAD_BOOKMARK') void reply.header('set-cookie', clearedCookies(request.protocol === 'https'));
    throw atStatus(client);
  }
}

/** Who hangs up does not wait for the answer. */
export function abandonWith(reply: FastifyReply, operation: Operation): void {
  reply.raw.once('close', () => reply.raw.writableFinished || operation.abandon());
}

/** The request failed as a whole: its status says so. */
export function atStatus(error: unknown): unknown {
  const client = asClientError(error);
  if (!client) return error;
  const http = { status: statusOf(client.code) };
  return new GraphQLError(client.message, { originalError: client, extensions: { ...client.extensions, http } });
}

type Sent = { query?: unknown } | null | undefined;

/** What was sent as a text; hashes are looked up by the pipeline. */
function checkTrusted(trusted: TrustedDocuments, { body, query }: FastifyRequest, { observer }: Operation): void {
  try {
    for (const { query: text } of [body as Sent, query as Sent].filter((sent) => sent != null))
      if (text !== undefined) trusted.admit(typeof text === 'string' ? text : '', undefined);
  } catch (error) {
    observer?.ended(codeOf(error));
    throw error;
  }
}
