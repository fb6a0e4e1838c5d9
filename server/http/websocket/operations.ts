import { randomUUID } from 'node:crypto';
import {
  GraphQLError,
  getOperationAST,
  Kind,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
} from 'graphql';
import type { Context as GraphqlContext, SubscribePayload } from 'graphql-ws';
import { bearerOf, type Access } from '../../access/access.ts';
import { asClientError, ClientError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/logger.ts';
import { listOf } from '../bookmark-headers.ts';
import type { Documents } from '../documents.ts';
import type { Limits } from '../limits/limits.ts';
import type { TrustedDocuments } from '../limits/trusted.ts';
import { codeOf } from '../masking.ts';
import type { Operation } from '../operation.ts';
import type { Pipeline } from '../pipeline.ts';
import type { Connection } from './connection.ts';
import { Ending } from './fan-out/ending.ts';
import { SocketSession, UNAUTHORIZED } from './session.ts';
import { maskLogged, present, subscribe, type Args, type SubscriptionOptions } from './subscriptions.ts';

export interface SocketOptions extends SubscriptionOptions {
  pipeline: Pipeline;
  documents: Documents;
  limits: Limits;
  trusted: TrustedDocuments | undefined;
  access: Access;
  log: Logger;
}

const TRY_AGAIN_LATER = 1013;

/**
 * What graphql-ws is handed for an operation, and holds as long as a subscription is open: `args` are dropped once they
 * are not needed, and with them all that an operation is executed with.
 */
interface Job extends ExecutionArgs {
  args: Args | undefined;
}

type SocketContext = GraphqlContext<Record<string, unknown>, Connection>;

/** The server's part of graphql-transport-ws, for graphql-ws to call. */
export function handlers(options: SocketOptions) {
  return {
    // `Connection` has it: graphql-ws holds its timer for as long as the socket is open.
    connectionInitWaitTimeout: 0,
    onConnect: (context: SocketContext) => connect(options, context),
    onClose: ({ extra }: SocketContext) => {
      extra.session?.release();
      for (const operation of extra.running?.keys() ?? []) operation.abandon();
    },
    onSubscribe: (context: SocketContext, id: string, payload: SubscribePayload) =>
      prepare(options, payload, id, context),
    execute: (job: ExecutionArgs) =>
      within((job as Job).args!, (args) => execute(options.pipeline, args)).catch(failedAlone),
    subscribe: async (job: ExecutionArgs) => {
      try {
        const { isSentApart, result } = await within((job as Job).args!, (args) => subscribe(options, args));
        if (isSentApart) (job as Job).args = undefined;
        return result;
      } catch (error) {
        return failedAlone(error);
      }
    },
    onNext: (_: unknown, _id: string, _payload: unknown, job: ExecutionArgs, result: ExecutionResult) =>
      present((job as Job).args!, result, options),
    onError: (_: unknown, _id: string, { query }: SubscribePayload, errors: readonly GraphQLError[]) =>
      errors.map((error) => maskLogged(error, options, query, randomUUID())),
  };
}

/** What one operation throws is its own end, and not the socket's, as graphql-ws would have it. */
function failedAlone(error: unknown): AsyncGenerator<never, void> {
  const ending = new Ending(() => {});
  ending.fail(error);
  return ending;
}

const within = <T>(args: Args, work: (args: Args) => T): T => {
  const { observer } = args.contextValue;
  return observer ? observer.within(() => work(args)) : work(args);
};

/** False: the socket is refused. Without a token it is nobody's: who is not signed in may sign in or up on it. */
async function connect(
  { access }: SocketOptions,
  { extra: connection, connectionParams = {} }: SocketContext,
): Promise<boolean> {
  const { authorization, token } = connectionParams;
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
  id: string,
  { extra: connection, subscriptions }: SocketContext,
): Promise<Job | GraphQLError[]> {
  const { schema, operations, documents, limits, trusted } = options;
  const { session, address } = connection;
  let begun: Operation | undefined;
  try {
    checkSession(session!);
    limits.checkSocket(Object.keys(subscriptions).length);
    const contextValue = await operations.begin({ ...wishes(payload), address, socket: session! });
    begun = contextValue;
    checkSession(session!); // it may have ended, or the server may have begun to stop, meanwhile
    const query = trusted ? trusted.admit(payload.query, hashOf(payload)) : payload.query;
    contextValue.read = documents.read(query, contextValue.viewer);
    const { document, errors } = contextValue.read;
    const operation = getOperationAST(document, payload.operationName);
    const isPipelines = operation && operation.operation !== 'subscription';
    if (!isPipelines && errors.length > 0) return ended(contextValue, errors);
    if (!operation) return ended(contextValue, [unresolved(document, payload.operationName)]);
    if (!isPipelines) {
      contextValue.observer?.known('subscription', operation.name?.value);
      limits.check(document, operation, payload.variables ?? {});
    }
    const { operationName, variables: variableValues } = payload;
    const channel = { connection, id };
    payload = { ...payload, query };
    const args = { schema, document, operation, operationName, variableValues, contextValue, payload, channel };
    // These two graphql-ws would add.
    return { schema, document, operationName, rootValue: undefined, contextValue: undefined, args };
  } catch (error) {
    begun?.observer?.ended(codeOf(error));
    return [error instanceof GraphQLError ? error : new GraphQLError('', { originalError: error as Error })];
  }
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
  pipeline: Pipeline,
  { payload, contextValue, channel: { connection } }: Args,
): Promise<ExecutionResult> {
  const request = {
    query: payload.query,
    variables: payload.variables ?? undefined,
    operationName: payload.operationName ?? undefined,
  };
  const running = (connection.running ??= new Map());
  const answer = pipeline.run(request, contextValue);
  running.set(contextValue, answer);
  const { result } = await answer.finally(() => running.delete(contextValue));
  return result as ExecutionResult;
}
