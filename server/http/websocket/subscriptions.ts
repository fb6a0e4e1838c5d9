import {
  createSourceEventStream,
  getVariableValues,
  GraphQLError,
  type ExecutionArgs,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import type { LiveSubscriptions } from '../../access/live.ts';
import { audienceViewer } from '../../access/sight.ts';
import type { Viewer } from '../../access/viewer.ts';
import { FeedStream } from '../../feed/stream.ts';
import { mapAsync, whenEnded } from '../../lib/iterables.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Lsn } from '../../lib/lsn.ts';
import type { Executor } from '../execution.ts';
import type { FanOut } from './fan-out/fan-out.ts';
import { groupKey } from './fan-out/key.ts';
import { withoutNames, type Hide } from '../hidden-names.ts';
import { codeOf, isInternal, maskError } from '../masking.ts';
import type { Operation, Operations } from '../operation.ts';
import type { Connection } from './connection.ts';

interface Masking {
  hide: Hide | undefined;
  log: Logger;
}

export interface SubscriptionOptions extends Masking {
  schema: GraphQLSchema;
  executor: Executor;
  operations: Operations;
  fanOut: FanOut;
  live: LiveSubscriptions;
}

/** What an operation is executed with, the text that the pipeline takes, and where its events go. */
export interface Args extends ExecutionArgs {
  operation: OperationDefinitionNode | undefined;
  payload: SubscribePayload;
  contextValue: Operation;
  channel: { connection: Connection; id: string };
}

interface Opened {
  result: AsyncIterableIterator<ExecutionResult> | ExecutionResult;
  /** Nothing comes out but its end: the fan-out sends its events. */
  isSentApart: boolean;
}

/** The feed's events are sent by the fan-out, once executed for all who want the same; others as they come. */
export async function subscribe(options: SubscriptionOptions, args: Args): Promise<Opened> {
  const { observer } = args.contextValue;
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) {
    observer?.ended(codeOf(source.errors?.[0]));
    return { result: source, isSentApart: false };
  }
  try {
    const result = open(options, args, source);
    observer?.ended('ok');
    return { result, isSentApart: source instanceof FeedStream };
  } catch (error) {
    observer?.ended(codeOf(error));
    if (error instanceof GraphQLError) return { result: { errors: [error] }, isSentApart: false };
    throw error;
  }
}

function open(
  options: SubscriptionOptions,
  args: Args,
  source: AsyncIterable<unknown>,
): AsyncGenerator<ExecutionResult, void> {
  const { viewer, address } = args.contextValue;
  const end = () => void events.return();
  const close = options.live.open(viewer, address, args.operationName ?? args.operation?.name?.value ?? null, end);
  let events: AsyncGenerator<ExecutionResult, void>;
  try {
    events =
      source instanceof FeedStream
        ? fanOut(options, args, source, close)
        : whenEnded(each(options, args, source), close);
  } catch (error) {
    close();
    throw error;
  }
  return events;
}

function each(options: SubscriptionOptions, args: Args, source: AsyncIterable<unknown>) {
  return mapAsync(source, (root) => executeOn(options, args, root, null, args.contextValue.viewer));
}

function fanOut(
  options: SubscriptionOptions,
  args: Args,
  source: FeedStream,
  ended: () => void,
): AsyncGenerator<ExecutionResult, void> {
  const { payload, operation, document, channel, contextValue } = args;
  const rights = source.request.sight.key;
  // Those that the operation declares, and nothing else that was sent: they were coerced once already, to open the source.
  const { coerced = {} } = getVariableValues(
    options.schema,
    operation!.variableDefinitions ?? [],
    payload.variables ?? {},
  );
  const key = groupKey(payload.query, operation!, document, coerced, rights);
  return options.fanOut.open(key, source, channel, ended, async (event, audience) => {
    const seen = event.kind === 'change' ? event.change.seen : null;
    const viewer = audienceViewer(contextValue.viewer, audience);
    const result = await executeOn(options, args, source.toRoot(event), seen, viewer);
    return JSON.stringify(present(args, result, options));
  });
}

/** One event, with loaders of its own, that read at or behind it. */
async function executeOn(
  { operations, executor }: SubscriptionOptions,
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
export function present(
  { operation, payload, contextValue }: Args,
  result: ExecutionResult,
  options: Masking,
): FormattedExecutionResult {
  if (operation?.operation !== 'subscription' || !result.errors) return result;
  const errors = result.errors.map((error) => maskLogged(error, options, payload.query, contextValue.requestId));
  return { ...result, errors };
}

/** `sent`: the document. */
export function maskLogged(
  error: GraphQLError,
  { log, hide }: Masking,
  sent: string,
  requestId: string,
): GraphQLFormattedError {
  if (isInternal(error)) log.error({ err: error.originalError ?? error, requestId }, 'subscription failed');
  const masked = maskError(error.toJSON(), error);
  return hide ? withoutNames(hide, masked, error, sent, 'websocket') : masked;
}
