import { fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { asClientError } from '../lib/errors.ts';
import { clearedCookies } from '../graphql/bookmark-cookies.ts';
import { wishesOf } from '../graphql/bookmark-headers.ts';
import type { Documents } from '../graphql/documents.ts';
import type { Operation, Operations } from '../graphql/operation.ts';
import type { TrustedDocuments } from '../graphql/limits/trusted.ts';
import { atStatus, codeOf } from '../graphql/masking.ts';
import type { Pipeline } from '../graphql/pipeline.ts';
import { answerPlain, plainRequest } from './plain.ts';
import { SANDBOX_HEADERS } from './security-headers.ts';

/** POST, and GET for queries and for the page that browsers see. */
export function addGraphQL(
  app: FastifyInstance,
  pipeline: Pipeline,
  operations: Operations,
  documents: Documents,
  trusted: TrustedDocuments | undefined,
  path: string,
): void {
  const beginFor = (request: FastifyRequest, reply: FastifyReply) =>
    begin(operations, request, reply, (operation) => checkSent(documents, trusted, request, operation));
  const byApollo = fastifyApolloHandler(pipeline.apollo, { context: beginFor });
  const refusal = (error: unknown) =>
    fastifyApolloHandler(pipeline.apollo, { context: () => Promise.reject(error as Error) });
  app.get(path, (request, reply) => byApollo.call(app, request, reply.headers(SANDBOX_HEADERS)));
  app.post(path, async (request, reply) => {
    const plain = plainRequest(request);
    if (!plain) return byApollo.call(app, request, reply);
    try {
      return await answerPlain(pipeline, plain, await beginFor(request, reply), reply);
    } catch (error) {
      return refusal(error).call(app, request, reply);
    }
  });
}

async function begin(
  operations: Operations,
  request: FastifyRequest,
  reply: FastifyReply,
  check: (operation: Operation) => void,
): Promise<Operation> {
  try {
    const operation = await operations.begin(wishesOf(request, 'http'));
    check(operation);
    abandonWith(reply, operation);
    return operation;
  } catch (error) {
    const client = asClientError(error);
    if (!client) throw error;
    if (client.code === 'BAD_BOOKMARK') void reply.header('set-cookie', clearedCookies(request));
    throw atStatus(client);
  }
}

/** Who hangs up does not wait for the answer. */
export function abandonWith(reply: FastifyReply, operation: Operation): void {
  reply.raw.once('close', () => reply.raw.writableFinished || operation.abandon());
}

type Sent = { query?: unknown } | null | undefined;

/** What was sent as a text; hashes are looked up by the pipeline. */
function checkSent(
  documents: Documents,
  trusted: TrustedDocuments | undefined,
  { body, query }: FastifyRequest,
  { viewer, observer }: Operation,
): void {
  try {
    for (const { query: text } of [body as Sent, query as Sent].filter((sent) => sent != null)) {
      if (text !== undefined) trusted?.admit(typeof text === 'string' ? text : '', undefined);
      if (typeof text === 'string') documents.checkText(text, viewer);
    }
  } catch (error) {
    observer?.ended(codeOf(error));
    throw error;
  }
}
