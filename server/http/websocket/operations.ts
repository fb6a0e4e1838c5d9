import { randomUUID } from 'node:crypto';
import type { SubscribePayload } from 'graphql-ws';
import { bearerOf, type Access } from '../../auth/access.ts';
import { parseExactly } from '../../lib/exact-json.ts';
import { asClientError, ClientError } from '../../lib/errors.ts';
import { operationNamed, unresolved } from '../../graphql/documents.ts';
import { codeOf } from '../../graphql/masking.ts';
import type { Operation } from '../../graphql/operation.ts';
import type { Pipeline } from '../../graphql/pipeline.ts';
import { bookmarkList } from '../../graphql/positions.ts';
import type { Connection } from './connection.ts';
import type { Begun, Channel, Handlers } from './conversation.ts';
import { SocketSession, UNAUTHORIZED } from './session.ts';
import { admit, subscribe, type SubscriptionOptions } from './subscriptions.ts';

export interface SocketOptions extends SubscriptionOptions {
  access: Access;
}

const TRY_AGAIN_LATER = 1013;

/** The server's part of graphql-transport-ws, for conversations to call. */
export function handlers(options: SocketOptions): Handlers {
  return {
    connect: (connection, parameters) => connect(options.access, connection, parameters),
    begin: (channel, payload, underWay, text) => begin(options, channel, payload, underWay, text),
    told: (errors, text) =>
      options.pipeline.masking.mask(errors, { of: 'subscription', requestId: randomUUID(), via: 'websocket', text }),
  };
}

/** False: the socket is refused. Without a token it is nobody's: who is not signed in may sign in or up on it. */
async function connect(
  access: Access,
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

/** The operation, ready to run, or what is wrong with it: of a subscription all that is, of all else what the pipeline does not say. */
async function begin(
  options: SocketOptions,
  channel: Channel,
  payload: SubscribePayload,
  underWay: number,
  text: string,
): Promise<Begun | readonly unknown[]> {
  const { pipeline, operations } = options;
  const { limits } = pipeline;
  const { connection } = channel;
  const session = connection.session!;
  let operation: Operation | undefined;
  try {
    checkSession(session);
    if (underWay > limits.options.socketOperations) connection.rest();
    limits.checkSocket(underWay);
    operation = await operations.begin({ ...optionsOf(payload), address: connection.address, socket: session });
    checkSession(session); // it may have ended, or the server may have begun to stop, meanwhile
    const document = pipeline.prepare(operation, payload.query, hashOf(payload));
    const prepared = operationNamed(document, payload.operationName);
    if (prepared && prepared.node.operation !== 'subscription')
      return begun(operation, answering(pipeline, connection, operation, payload, text));
    if (document.errors.length > 0) return ended(operation, document.errors);
    if (!prepared) return ended(operation, [unresolved(document, payload.operationName)]);
    const subscription = admit(pipeline, operation, prepared, payload.variables ?? {}, channel);
    return begun(operation, () => subscribe(options, subscription));
  } catch (error) {
    return ended(operation, [error]);
  }
}

function checkSession({ isOver }: SocketSession): void {
  if (isOver) throw new ClientError('UNAUTHENTICATED', 'The token of this websocket is over.');
}

const optionsOf = ({ extensions }: SubscribePayload) => ({
  requestId: randomUUID(),
  via: 'websocket' as const,
  traceparent: textOf(extensions?.['traceparent']),
  bookmarks: typeof extensions?.['bookmark'] === 'string' ? bookmarkList(extensions['bookmark']) : [],
  consistency: textOf(extensions?.['consistency']),
});

const hashOf = ({ extensions }: SubscribePayload) =>
  (extensions?.['persistedQuery'] as { sha256Hash?: unknown } | undefined)?.sha256Hash;

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined);

function ended(operation: Operation | undefined, errors: readonly unknown[]): readonly unknown[] {
  operation?.observer?.ended(codeOf(errors[0]));
  return errors;
}

function begun(operation: Operation, work: Begun['run']): Begun {
  const { observer } = operation;
  let isRunning = false;
  return {
    run: () => {
      isRunning = true;
      return observer ? observer.within(work) : work();
    },
    abandon: () => {
      operation.abandon();
      if (!isRunning) observer?.ended('TIMEOUT');
    },
  };
}

/** Stopping waits for what runs to be answered. */
const answering =
  (
    pipeline: Pipeline,
    connection: Connection,
    operation: Operation,
    { query, operationName, variables }: SubscribePayload,
    text: string,
  ) =>
  async () => {
    const exact = () => (parseExactly(text) as { payload: SubscribePayload }).payload.variables;
    const running = (connection.running ??= new Map());
    const answer = pipeline.run(operation, { query, operationName, variables, exact });
    running.set(operation, answer);
    const { result } = await answer.finally(() => running.delete(operation));
    return result;
  };
