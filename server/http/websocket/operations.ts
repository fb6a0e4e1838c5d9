import { randomUUID } from 'node:crypto';
import {
  GraphQLError,
  getOperationAST,
  Kind,
  type DocumentNode,
  type FormattedExecutionResult,
  type OperationDefinitionNode,
} from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import { bearerOf, type Access } from '../../auth/access.ts';
import { asClientError, ClientError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/logger.ts';
import { listOf } from '../../graphql/bookmark-headers.ts';
import type { Documents } from '../../graphql/documents.ts';
import type { TrustedDocuments } from '../../graphql/limits/trusted.ts';
import { codeOf } from '../../graphql/masking.ts';
import type { Operation } from '../../graphql/operation.ts';
import type { Pipeline } from '../../graphql/pipeline.ts';
import type { Connection } from './connection.ts';
import type { Begun, Channel, Handlers } from './conversation.ts';
import { SocketSession, UNAUTHORIZED } from './session.ts';
import { maskLogged, subscribe, type Args, type SubscriptionOptions } from './subscriptions.ts';

export interface SocketOptions extends SubscriptionOptions {
  pipeline: Pipeline;
  documents: Documents;
  trusted: TrustedDocuments | undefined;
  access: Access;
  log: Logger;
}

const TRY_AGAIN_LATER = 1013;

/** The server's part of graphql-transport-ws, for conversations to call. */
export function handlers(options: SocketOptions): Handlers {
  return {
    connect: (connection, parameters) => connect(options, connection, parameters),
    begin: async (channel, payload, underWay) => {
      const args = await prepare(options, payload, channel, underWay);
      return 'contextValue' in args ? begun(options, args) : args;
    },
    told: (errors, sent) => errors.map((error) => maskLogged(asGraphqlError(error), options, sent, randomUUID())),
  };
}

function begun(options: SocketOptions, args: Args): Begun {
  let isRunning = false;
  return {
    run: () => {
      isRunning = true;
      const work = args.operation?.operation === 'subscription' ? subscribe : execute;
      return within(args, () => work(options, args));
    },
    abandon: () => {
      args.contextValue.abandon();
      if (!isRunning) args.contextValue.observer?.ended('TIMEOUT');
    },
  };
}

function asGraphqlError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  const originalError = error instanceof Error ? error : new Error(String(error));
  return new GraphQLError(originalError.message, { originalError });
}

const within = <T>({ contextValue: { observer } }: Args, work: () => T): T =>
  observer ? observer.within(work) : work();

/** False: the socket is refused. Without a token it is nobody's: who is not signed in may sign in or up on it. */
async function connect(
  { access }: SocketOptions,
  connection: Connection,
  { authorization, token }: Record<string, unknown>,
): Promise<boolean> {
  const header = connection.greeted();
  const sent = textOf(token) ?? bearerOf(textOf(authorization) ?? header);
  try {
    const viewer = await access.viewer(sent);
    connection.session = new SocketSession(connection, viewer, access.sessions);
    if (!connection.isOpen) connection.session.release();
    return true;
  } catch (error) {
    const client = asClientError(error);
    if (!client) throw error;
    connection.close(client.code === 'UNAUTHENTICATED' ? UNAUTHORIZED : TRY_AGAIN_LATER, client.message.slice(0, 120));
    return false;
  }
}

/** The operation's arguments, or what is wrong with it. A subscription is validated here, all else in the pipeline. */
async function prepare(
  options: SocketOptions,
  payload: SubscribePayload,
  channel: Channel,
  underWay: number,
): Promise<Args | readonly GraphQLError[]> {
  const { schema, operations, documents, limits, trusted } = options;
  const { session, address } = channel.connection;
  let begun: Operation | undefined;
  try {
    checkSession(session!);
    if (underWay > limits.options.socketOperations) channel.connection.rest();
    limits.checkSocket(underWay);
    const contextValue = await operations.begin({ ...wishes(payload), address, socket: session! });
    begun = contextValue;
    checkSession(session!); // it may have ended, or the server may have begun to stop, meanwhile
    const query = trusted ? trusted.admit(payload.query, hashOf(payload)) : payload.query;
    contextValue.read = limits.read(documents, query, contextValue);
    const { document, errors } = contextValue.read;
    const operation = getOperationAST(document, payload.operationName);
    const isPipelines = operation && operation.operation !== 'subscription';
    if (!isPipelines && errors.length > 0) return ended(contextValue, errors);
    if (!operation) return ended(contextValue, [unresolved(document, payload.operationName)]);
    if (isPipelines) payload = { ...payload, query };
    else {
      contextValue.observer?.known('subscription', operation.name?.value);
      payload = kept(payload, document, operation);
      contextValue.cost = limits.check(document, operation, payload.variables ?? {});
      limits.checkKept(payload, operation);
      limits.budget.spend(contextValue.spender, contextValue.cost);
    }
    const { operationName, variables: variableValues } = payload;
    return { schema, document, operation, operationName, variableValues, contextValue, payload, channel };
  } catch (error) {
    begun?.observer?.ended(codeOf(error));
    return [error instanceof GraphQLError ? error : new GraphQLError('', { originalError: error as Error })];
  }
}

/** Of a subscription's message what is needed as long as it lasts: the text, once for all that sent it, and no more variables than it declares. */
function kept(
  { query, operationName, variables }: SubscribePayload,
  document: DocumentNode,
  { variableDefinitions = [] }: OperationDefinitionNode,
): SubscribePayload {
  const declared = variableDefinitions
    .map(({ variable }) => variable.name.value)
    .filter((name) => Object.hasOwn(variables ?? {}, name));
  return {
    query: document.loc?.source.body ?? query,
    operationName,
    variables: Object.fromEntries(declared.map((name) => [name, variables![name]])),
  };
}

function ended({ observer }: Operation, errors: readonly GraphQLError[]): GraphQLError[] {
  observer?.ended(codeOf(errors[0]));
  return [...errors];
}

/** As graphql says it where it executes. */
function unresolved({ definitions }: DocumentNode, name: string | null | undefined): GraphQLError {
  const isAny = definitions.some(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const message =
    name == null
      ? isAny
        ? 'Must provide operation name if query contains multiple operations.'
        : 'Must provide an operation.'
      : `Unknown operation named "${name.slice(0, 100)}".`;
  return new GraphQLError(message, { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } });
}

function checkSession({ isOver }: SocketSession): void {
  if (isOver) throw new ClientError('UNAUTHENTICATED', 'The token of this websocket is over.');
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

async function execute(
  { pipeline }: SocketOptions,
  { payload, contextValue, channel: { connection } }: Args,
): Promise<FormattedExecutionResult> {
  const request = {
    query: payload.query,
    variables: payload.variables ?? undefined,
    operationName: payload.operationName ?? undefined,
  };
  const running = (connection.running ??= new Map());
  const answer = pipeline.run(request, contextValue);
  running.set(contextValue, answer);
  const { result } = await answer.finally(() => running.delete(contextValue));
  return result;
}
