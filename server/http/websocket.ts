import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ApolloServer } from '@apollo/server';
import {
  createSourceEventStream,
  execute as executeDocument,
  GraphQLError,
  getOperationAST,
  type ExecutionArgs,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import type { Context as GraphqlContext, SubscribePayload } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer, type WebSocket } from 'ws';
import { FeedStream } from '../feed/stream.ts';
import { mapAsync } from '../lib/iterables.ts';
import type { Logger } from '../lib/logger.ts';
import type { Lsn } from '../lib/lsn.ts';
import { listOf } from './bookmark-headers.ts';
import type { Documents } from './documents.ts';
import type { FanOut } from './fan-out/fan-out.ts';
import { groupKey } from './fan-out/key.ts';
import type { Channel } from './fan-out/subscriber.ts';
import { isInternal, maskError } from './masking.ts';
import type { Operation, Operations } from './operation.ts';

interface WebsocketOptions {
  schema: GraphQLSchema;
  pipeline: ApolloServer<Operation>;
  operations: Operations;
  documents: Documents;
  fanOut: FanOut;
  log: Logger;
  path: string;
  maxPayloadBytes: number;
}

const GOING_AWAY = 1001;

/** graphql-transport-ws on the HTTP server's port. Returns how to close it: every socket is told that the server goes. */
export function attachWebsockets(http: Server, options: WebsocketOptions): () => Promise<void> {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: options.maxPayloadBytes });
  http.on('upgrade', (request, socket, head) => {
    if (request.url?.split('?')[0] === options.path) accept(sockets, request, socket, head);
    else socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
  });
  const graphql = useServer(handlers(options), sockets);
  return async () => {
    for (const socket of sockets.clients) socket.close(GOING_AWAY, 'The server is stopping: connect again');
    await graphql.dispose();
  };
}

function accept(sockets: WebSocketServer, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  sockets.handleUpgrade(request, socket, head, (ws) => {
    ws.on('error', () => ws.terminate()); // a frame that is none, or too large: the socket's own fault, and its end
    sockets.emit('connection', ws, request);
  });
}

/** What an operation is executed with, the text that the pipeline takes, and where its events go. */
interface Args extends ExecutionArgs {
  operation: OperationDefinitionNode | undefined;
  payload: SubscribePayload;
  contextValue: Operation;
  channel: Channel;
}

type SocketContext = GraphqlContext<Record<string, unknown>, { socket: WebSocket }>;

function handlers(options: WebsocketOptions) {
  return {
    onSubscribe: (context: SocketContext, id: string, payload: SubscribePayload) =>
      prepare(options, payload, { socket: context.extra.socket, id }),
    execute: (args: ExecutionArgs) => execute(options.pipeline, args as Args),
    subscribe: (args: ExecutionArgs) => subscribe(options, args as Args),
    onNext: (_: unknown, _id: string, _payload: unknown, args: ExecutionArgs, result: ExecutionResult) =>
      present(args as Args, result, options.log),
    onError: (_: unknown, _id: string, _payload: unknown, errors: readonly GraphQLError[]) =>
      errors.map((error) => mask(error, randomUUID(), options.log)),
  };
}

/** The operation's arguments, or what is wrong with it. A subscription is validated here, all else in the pipeline. */
async function prepare(
  options: WebsocketOptions,
  payload: SubscribePayload,
  channel: Channel,
): Promise<Args | GraphQLError[]> {
  const { schema, operations, documents } = options;
  try {
    const { document, errors } = documents.read(payload.query);
    const operation = getOperationAST(document, payload.operationName) ?? undefined;
    if (operation?.operation === 'subscription' && errors.length > 0) return errors;
    const contextValue = await operations.begin(wishes(payload));
    const { operationName, variables: variableValues } = payload;
    return { schema, document, operation, operationName, variableValues, contextValue, payload, channel };
  } catch (error) {
    if (error instanceof GraphQLError) return [error];
    throw error;
  }
}

const wishes = ({ extensions }: SubscribePayload) => ({
  requestId: randomUUID(),
  bookmarks: typeof extensions?.['bookmark'] === 'string' ? listOf(extensions['bookmark']) : [],
  consistency: textOf(extensions?.['consistency']),
});

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined);

async function execute(pipeline: ApolloServer<Operation>, { payload, contextValue }: Args): Promise<ExecutionResult> {
  const request = {
    query: payload.query,
    variables: payload.variables ?? undefined,
    operationName: payload.operationName ?? undefined,
  };
  const { body } = await pipeline.executeOperation(request, { contextValue });
  if (body.kind !== 'single') throw new Error('incremental delivery is not offered');
  return body.singleResult as ExecutionResult;
}

/** The feed's events are sent by the fan-out, once executed for all who want the same; others as they come. */
async function subscribe(
  options: WebsocketOptions,
  args: Args,
): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const run = (root: unknown, seen: Lsn | null) => executeOn(options, args, root, seen);
  if (!(source instanceof FeedStream))
    return mapAsync(source as AsyncIterableIterator<unknown>, (root) => run(root, null));
  const { payload, operation, document, channel } = args;
  const key = groupKey(payload.query, operation!, document, payload.variables ?? {}, '');
  return options.fanOut.open(key, source, channel, async (event) => {
    const result = await run(source.toRoot(event), event.kind === 'change' ? event.change.seen : null);
    return JSON.stringify(present(args, result, options.log));
  });
}

/** One event, with loaders of its own, that read at or behind it. */
async function executeOn(
  { operations }: WebsocketOptions,
  args: Args,
  rootValue: unknown,
  seen: Lsn | null,
): Promise<ExecutionResult> {
  const contextValue = operations.forEvent(args.contextValue.requestId, seen);
  try {
    return await executeDocument({ ...args, rootValue, contextValue });
  } finally {
    contextValue.release();
  }
}

/** What the pipeline made goes out as it is; a subscription's result gets its errors logged and masked here. */
function present({ operation, contextValue }: Args, result: ExecutionResult, log: Logger): FormattedExecutionResult {
  if (operation?.operation !== 'subscription' || !result.errors) return result;
  return { ...result, errors: result.errors.map((error) => mask(error, contextValue.requestId, log)) };
}

function mask(error: GraphQLError, requestId: string, log: Logger): GraphQLFormattedError {
  if (isInternal(error)) log.error({ err: error.originalError ?? error, requestId }, 'subscription failed');
  return maskError(error.toJSON(), error);
}
