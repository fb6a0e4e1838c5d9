import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  createSourceEventStream,
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
import { bearerOf, type Access } from '../access/access.ts';
import type { LiveSubscriptions } from '../access/live.ts';
import { audienceViewer } from '../access/sight.ts';
import type { Viewer } from '../access/viewer.ts';
import { FeedStream } from '../feed/stream.ts';
import { asClientError, ClientError } from '../lib/errors.ts';
import { mapAsync, whenEnded } from '../lib/iterables.ts';
import type { Logger } from '../lib/logger.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Stopping } from '../lib/stopping.ts';
import { withinMs } from '../lib/within.ts';
import { listOf } from './bookmark-headers.ts';
import type { Documents } from './documents.ts';
import type { Executor } from './execution.ts';
import type { FanOut } from './fan-out/fan-out.ts';
import { groupKey } from './fan-out/key.ts';
import type { Channel } from './fan-out/subscriber.ts';
import type { Limits } from './limits/limits.ts';
import { SocketRoom } from './limits/socket-room.ts';
import type { TrustedDocuments } from './limits/trusted.ts';
import { codeOf, isInternal, maskError } from './masking.ts';
import type { Operation, Operations } from './operation.ts';
import type { Pipeline } from './pipeline.ts';
import { closeFor, SocketSession, UNAUTHORIZED } from './socket-session.ts';

interface WebsocketOptions {
  schema: GraphQLSchema;
  pipeline: Pipeline;
  executor: Executor;
  operations: Operations;
  documents: Documents;
  limits: Limits;
  trusted: TrustedDocuments | undefined;
  fanOut: FanOut;
  access: Access;
  live: LiveSubscriptions;
  /** Where a socket comes from, as far as proxies are trusted. */
  addressOf: (request: IncomingMessage) => string;
  log: Logger;
  path: string;
  maxPayloadBytes: number;
  stopping: Stopping;
}

/** Clients of graphql-ws come back after it, as after 1001, and find another server, or this one again. */
const SERVICE_RESTART = 1012;
const TRY_AGAIN_LATER = 1013;

/**
 * graphql-transport-ws on the HTTP server's port. Returns how to close it: queries and mutations that run are answered
 * first, as long as there is time, then the socket is told that the server goes. What was sent before arrives before.
 */
export function attachWebsockets(http: Server, options: WebsocketOptions): () => Promise<void> {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: options.maxPayloadBytes });
  let isClosing = false;
  const room = new SocketRoom(options.limits.options.socketsPerAddress);
  http.on('upgrade', (request, socket, head) => {
    if (request.url?.split('?')[0] !== options.path) return refuse(socket, '404 Not Found');
    if (isClosing) return refuse(socket, '503 Service Unavailable');
    if (!room.take(options.addressOf(request), socket)) return refuse(socket, '429 Too Many Requests');
    accept(sockets, request, socket, head);
  });
  const graphql = useServer(handlers(options), sockets);
  return async () => {
    isClosing = true;
    const answered = [...sockets.clients].map(closeWhenAnswered);
    await withinMs(Promise.all(answered), options.stopping.finishMs).catch(() => undefined);
    for (const socket of sockets.clients) closeSocket(socket);
    await graphql.dispose();
  };
}

async function closeWhenAnswered(socket: WebSocket): Promise<void> {
  const running = extras.get(socket)?.running;
  while (running && running.size > 0) {
    await Promise.allSettled(running.values());
    await turn(); // it is sent within the turn that it is made in
  }
  closeSocket(socket);
}

/** What arrives on it after that is not run: its answer would not arrive. */
function closeSocket(socket: WebSocket): void {
  const reason = 'The server is stopping: connect again';
  const session = extras.get(socket)?.session;
  if (session) return session.isOver ? undefined : session.close(SERVICE_RESTART, reason);
  closeFor(socket, SERVICE_RESTART, reason);
}

/** Of those sockets whose client has said hello. */
const extras = new WeakMap<WebSocket, SocketExtra>();

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
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
  extra: SocketExtra;
}

interface SocketExtra {
  socket: WebSocket;
  request: IncomingMessage;
  /** Of the connection, once it is acknowledged. */
  session?: SocketSession;
  /** Queries and mutations under way, each with its answer. */
  running?: Map<Operation, Promise<unknown>>;
}

type SocketContext = GraphqlContext<Record<string, unknown>, SocketExtra>;

function handlers(options: WebsocketOptions) {
  return {
    onConnect: (context: SocketContext) => connect(options, context),
    onClose: ({ extra }: SocketContext) => {
      extra.session?.release();
      for (const operation of extra.running?.keys() ?? []) operation.abandon();
    },
    onSubscribe: (context: SocketContext, id: string, payload: SubscribePayload) =>
      prepare(options, payload, id, context),
    execute: (args: ExecutionArgs) => within(args as Args, () => execute(options.pipeline, args as Args)),
    subscribe: (args: ExecutionArgs) => within(args as Args, () => subscribe(options, args as Args)),
    onNext: (_: unknown, _id: string, _payload: unknown, args: ExecutionArgs, result: ExecutionResult) =>
      present(args as Args, result, options.log),
    onError: (_: unknown, _id: string, _payload: unknown, errors: readonly GraphQLError[]) =>
      errors.map((error) => mask(error, randomUUID(), options.log)),
  };
}

const within = <T>({ contextValue: { observer } }: Args, work: () => T): T =>
  observer ? observer.within(work) : work();

/** False: the socket is refused. Without a token it is nobody's: who is not signed in may sign in or up on it. */
async function connect(
  { access }: WebsocketOptions,
  { extra, connectionParams = {} }: SocketContext,
): Promise<boolean> {
  const { authorization, token } = connectionParams;
  extras.set(extra.socket, extra);
  const sent = textOf(token) ?? bearerOf(textOf(authorization) ?? extra.request.headers.authorization);
  try {
    const viewer = await access.viewer(sent);
    extra.session = new SocketSession(extra.socket, viewer, access.sessions);
    if (extra.socket.readyState !== extra.socket.OPEN) extra.session.release();
    return true;
  } catch (error) {
    const client = asClientError(error);
    if (!client) throw error;
    extra.socket.close(
      client.code === 'UNAUTHENTICATED' ? UNAUTHORIZED : TRY_AGAIN_LATER,
      client.message.slice(0, 120),
    );
    return false;
  }
}

/** The operation's arguments, or what is wrong with it. A subscription is validated here, all else in the pipeline. */
async function prepare(
  options: WebsocketOptions,
  payload: SubscribePayload,
  id: string,
  { extra, subscriptions }: SocketContext,
): Promise<Args | GraphQLError[]> {
  const { schema, operations, documents, limits, trusted, addressOf } = options;
  const { socket, request, session } = extra;
  let begun: Operation | undefined;
  try {
    if (session!.isOver) return [new ClientError('UNAUTHENTICATED', 'The token of this websocket is over.')];
    limits.checkSocket(Object.keys(subscriptions).length);
    const contextValue = await operations.begin({ ...wishes(payload), address: addressOf(request), socket: session! });
    begun = contextValue;
    const query = trusted ? trusted.admit(payload.query, hashOf(payload)) : payload.query;
    const { document, errors } = documents.read(query);
    const operation = getOperationAST(document, payload.operationName) ?? undefined;
    if (operation?.operation === 'subscription') {
      if (errors.length > 0) {
        contextValue.observer?.ended(codeOf(errors[0]));
        return errors;
      }
      contextValue.observer?.known('subscription', operation.name?.value);
      limits.check(document, operation, payload.variables ?? {});
    }
    const { operationName, variables: variableValues } = payload;
    return {
      schema,
      document,
      operation,
      operationName,
      variableValues,
      contextValue,
      payload: { ...payload, query },
      channel: { socket, id },
      extra,
    };
  } catch (error) {
    begun?.observer?.ended(codeOf(error));
    if (error instanceof GraphQLError) return [error];
    throw error;
  }
}

const wishes = ({ extensions }: SubscribePayload) => ({
  requestId: randomUUID(),
  via: 'websocket' as const,
  traceparent: textOf(extensions?.['traceparent']),
  bookmarks: typeof extensions?.['bookmark'] === 'string' ? listOf(extensions['bookmark']) : [],
  consistency: textOf(extensions?.['consistency']),
});

const hashOf = ({ extensions }: SubscribePayload) =>
  (extensions?.['persistedQuery'] as { sha256Hash?: unknown } | undefined)?.sha256Hash;

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined);

async function execute(pipeline: Pipeline, { payload, contextValue, extra }: Args): Promise<ExecutionResult> {
  const request = {
    query: payload.query,
    variables: payload.variables ?? undefined,
    operationName: payload.operationName ?? undefined,
  };
  const running = (extra.running ??= new Map());
  const answer = pipeline.run(request, contextValue);
  running.set(contextValue, answer);
  const { result } = await answer.finally(() => running.delete(contextValue));
  return result as ExecutionResult;
}

/** The feed's events are sent by the fan-out, once executed for all who want the same; others as they come. */
async function subscribe(
  options: WebsocketOptions,
  args: Args,
): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult> {
  const { observer } = args.contextValue;
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) {
    observer?.ended(codeOf(source.errors?.[0]));
    return source;
  }
  try {
    const events = open(options, args, source);
    observer?.ended('ok');
    return events;
  } catch (error) {
    observer?.ended(codeOf(error));
    if (error instanceof GraphQLError) return { errors: [error] };
    throw error;
  }
}

function open(
  options: WebsocketOptions,
  args: Args,
  source: AsyncIterable<unknown>,
): AsyncGenerator<ExecutionResult, void> {
  const { viewer, address } = args.contextValue;
  const end = () => void events.return();
  const close = options.live.open(viewer, address, args.operationName ?? args.operation?.name?.value ?? null, end);
  const events = source instanceof FeedStream ? fanOut(options, args, source) : each(options, args, source);
  return whenEnded(events, close);
}

function each(options: WebsocketOptions, args: Args, source: AsyncIterable<unknown>) {
  return mapAsync(source, (root) => executeOn(options, args, root, null, args.contextValue.viewer));
}

function fanOut(options: WebsocketOptions, args: Args, source: FeedStream): AsyncGenerator<ExecutionResult, void> {
  const { payload, operation, document, channel, contextValue } = args;
  const rights = source.request.sight.key;
  const key = groupKey(payload.query, operation!, document, payload.variables ?? {}, rights);
  return options.fanOut.open(key, source, channel, async (event, audience) => {
    const seen = event.kind === 'change' ? event.change.seen : null;
    const viewer = audienceViewer(contextValue.viewer, audience);
    const result = await executeOn(options, args, source.toRoot(event), seen, viewer);
    return JSON.stringify(present(args, result, options.log));
  });
}

/** One event, with loaders of its own, that read at or behind it. */
async function executeOn(
  { operations, executor }: WebsocketOptions,
  args: Args,
  rootValue: unknown,
  seen: Lsn | null,
  viewer: Viewer,
): Promise<ExecutionResult> {
  const contextValue = operations.forEvent(args.contextValue, viewer, seen);
  contextValue.begun();
  try {
    return await executor.execute({ ...args, rootValue, contextValue });
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
