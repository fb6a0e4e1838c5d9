import { fastifyApolloHandler } from '@as-integrations/fastify';
import type { ApolloServer } from '@apollo/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GraphQLError } from 'graphql';
import { asClientError } from '../lib/errors.ts';
import { clearedCookies, wishesOf } from './bookmark-headers.ts';
import type { Operation, Operations } from './operation.ts';
import { statusOf } from './rest-form.ts';

/** POST, and GET for queries and for the page that browsers see. */
export function addGraphQL(
  app: FastifyInstance,
  pipeline: ApolloServer<Operation>,
  operations: Operations,
  path: string,
): void {
  const handler = fastifyApolloHandler(pipeline, { context: (request, reply) => begin(operations, request, reply) });
  app.route({ method: ['GET', 'POST'], url: path, handler });
}

async function begin(operations: Operations, request: FastifyRequest, reply: FastifyReply): Promise<Operation> {
  try {
    return await operations.begin(wishesOf(request));
  } catch (error) {
    const client = asClientError(error);
    if (!client) throw error;
    if (client.code === 'BAD_BOOKMARK') void reply.header('set-cookie', clearedCookies(request.protocol === 'https'));
    throw withStatus(client, statusOf(client.code));
  }
}

/** The request failed as a whole: its status says so. */
const withStatus = (error: GraphQLError, status: number) =>
  new GraphQLError(error.message, { originalError: error, extensions: { ...error.extensions, http: { status } } });
