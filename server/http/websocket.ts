import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ApolloServer } from '@apollo/server';
import {
  GraphQLError,
  getOperationAST,
  parse,
  validate,
  type ExecutionArgs,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLSchema,
} from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import type { Logger } from '../lib/logger.ts';
import { isInternal, maskError } from './masking.ts';
import type { Operation, Operations } from './operation.ts';

interface WebsocketOptions {
  schema: GraphQLSchema;
  pipeline: ApolloServer<Operation>;
  operations: Operations;
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

/** What an operation is executed with, and the text that the pipeline takes. */
interface Args extends ExecutionArgs {
  payload: SubscribePayload;
  contextValue: Operation;
  isSubscription: boolean;
}

function handlers(options: WebsocketOptions) {
  return {
    onSubscribe: (_: unknown, _id: string, payload: SubscribePayload) => prepare(options, payload),
    execute: (args: ExecutionArgs) => execute(options.pipeline, args as Args),
    onNext: (_: unknown, _id: string, _payload: unknown, args: ExecutionArgs, result: ExecutionResult) =>
      present(args as Args, result, options.log),
  };
}

/** The operation's arguments, or what is wrong with it. A subscription is validated here, all else in the pipeline. */
async function prepare(
  { schema, operations }: WebsocketOptions,
  payload: SubscribePayload,
): Promise<Args | GraphQLError[]> {
  try {
    const document = parse(payload.query);
    const isSubscription = getOperationAST(document, payload.operationName)?.operation === 'subscription';
    const errors = isSubscription ? validate(schema, document) : [];
    if (errors.length > 0) return errors.map((error) => coded(error, 'GRAPHQL_VALIDATION_FAILED'));
    const contextValue = await operations.begin(wishes(payload));
    return {
      schema,
      document,
      operationName: payload.operationName,
      variableValues: payload.variables,
      contextValue,
      payload,
      isSubscription,
    };
  } catch (error) {
    if (error instanceof GraphQLError) return [error.extensions['code'] ? error : coded(error, 'GRAPHQL_PARSE_FAILED')];
    throw error;
  }
}

const wishes = ({ extensions }: SubscribePayload) => ({
  requestId: randomUUID(),
  bookmark: textOf(extensions?.['bookmark']),
  consistency: textOf(extensions?.['consistency']),
});

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined);

const coded = (error: GraphQLError, code: string) =>
  new GraphQLError(error.message, {
    nodes: error.nodes,
    source: error.source,
    positions: error.positions,
    extensions: { code },
  });

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

/** What the pipeline made goes out as it is; a subscription's result gets its errors logged and masked here. */
function present(
  { isSubscription, contextValue: { requestId } }: Args,
  result: ExecutionResult,
  log: Logger,
): FormattedExecutionResult {
  if (!isSubscription || !result.errors) return result;
  for (const error of result.errors.filter(isInternal))
    log.error({ err: error.originalError ?? error, requestId }, 'subscription failed');
  return { ...result, errors: result.errors.map((error) => maskError(error.toJSON(), error)) };
}
