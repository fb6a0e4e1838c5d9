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
import type { LiveSubscriptions } from '../../auth/live.ts';
import { audienceViewer } from '../../auth/visibility.ts';
import type { Viewer } from '../../auth/viewer.ts';
import { FeedStream, type FeedEvent } from '../../feed/stream.ts';
import { mapAsync, whenEnded } from '../../lib/iterables.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Lsn } from '../../lib/lsn.ts';
import type { Executor } from '../../graphql/execution.ts';
import type { FanOut } from '../../feed/fan-out/fan-out.ts';
import type { Render } from '../../feed/fan-out/group.ts';
import { groupKey } from '../../feed/fan-out/key.ts';
import type { Limits } from '../../graphql/limits/limits.ts';
import { withoutNames, type Hide } from '../../graphql/hidden-names.ts';
import { codeOf, isInternal, maskError } from '../../graphql/masking.ts';
import type { Operation, Operations } from '../../graphql/operation.ts';
import type { Channel } from './conversation.ts';

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
  limits: Limits;
}

/** What an operation is executed with, the text that the pipeline takes, and where its events go. */
export interface Args extends ExecutionArgs {
  operation: OperationDefinitionNode | undefined;
  payload: SubscribePayload;
  contextValue: Operation;
  channel: Channel;
}

/** The feed's events are sent by the fan-out, once executed for all who want the same: of those, only the end comes out. */
export async function subscribe(
  options: SubscriptionOptions,
  args: Args,
): Promise<AsyncGenerator<FormattedExecutionResult, void> | FormattedExecutionResult> {
  const { observer } = args.contextValue;
  const fault = options.executor.faultIn(args);
  const source = fault ? { errors: [fault] } : await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) {
    observer?.ended(codeOf(source.errors?.[0]));
    return present(args, source, options);
  }
  try {
    const result = open(options, args, source);
    observer?.ended('ok');
    return result;
  } catch (error) {
    observer?.ended(codeOf(error));
    if (error instanceof GraphQLError) return present(args, { errors: [error] }, options);
    throw error;
  }
}

function open(
  options: SubscriptionOptions,
  args: Args,
  source: AsyncIterable<unknown>,
): AsyncGenerator<FormattedExecutionResult, void> {
  const { viewer, address, cost } = args.contextValue;
  const name = args.operationName ?? args.operation?.name?.value ?? null;
  // What it fails with comes out of `next`, too.
  const end = () => void events.return().catch(() => undefined);
  const close = options.live.open({ viewer, address, operation: name, cost: cost! }, end);
  let events: AsyncGenerator<FormattedExecutionResult, void>;
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
  const { viewer } = args.contextValue;
  return mapAsync(source, async (root) =>
    present(args, await executeOn(options, args, root, null, viewer, args.contextValue.spender), options),
  );
}

function fanOut(
  options: SubscriptionOptions,
  args: Args,
  source: FeedStream,
  ended: () => void,
): AsyncGenerator<FormattedExecutionResult, void> {
  const { payload, operation, document, channel, contextValue } = args;
  const rights = source.request.sight.key;
  // They were coerced once already, to open the source.
  const { coerced = {} } = getVariableValues(
    options.schema,
    operation!.variableDefinitions ?? [],
    payload.variables ?? {},
  );
  const key = groupKey(operation!, document, coerced, rights);
  const { budget } = options.limits;
  const { spender, cost } = contextValue;
  const work = async (event: FeedEvent, audience: string, payer: string): Promise<string> => {
    const seen = event.kind === 'change' ? event.change.seen : null;
    const viewer = audienceViewer(contextValue.viewer, audience);
    try {
      const result = await executeOn(options, args, source.toRoot(event), seen, viewer, payer);
      return JSON.stringify(withoutLocations(present(args, result, options)));
    } catch (error) {
      return JSON.stringify({
        errors: [maskLogged(asGraphqlError(error), options, payload.query, contextValue.requestId)],
      });
    }
  };
  const render: Render = (event, audience, payers) =>
    budget.event(payers, cost!, (payer) => work(event, audience, payer));
  return options.fanOut.open(key, source, channel, ended, { render, cost: cost!, spender });
}

/** Whoever shares the group may have written the same in other lines. */
function withoutLocations({ errors, ...result }: FormattedExecutionResult): FormattedExecutionResult {
  if (!errors) return result;
  const anywhere = ({ message, path, extensions }: GraphQLFormattedError) => ({
    message,
    ...(path && { path }),
    ...(extensions && { extensions }),
  });
  return { ...result, errors: errors.map(anywhere) };
}

/** Of an event that could not even be executed: it is told as one with an error, and the next one comes. */
function asGraphqlError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  const originalError = error instanceof Error ? error : new Error(String(error));
  return new GraphQLError(originalError.message, { originalError });
}

/** One event, with loaders of its own, that read at or past it. */
async function executeOn(
  { operations, executor }: SubscriptionOptions,
  args: Args,
  rootValue: unknown,
  seen: Lsn | null,
  viewer: Viewer,
  spender: string,
): Promise<ExecutionResult> {
  const contextValue = operations.forEvent(args.contextValue, viewer, seen, spender);
  contextValue.begun();
  try {
    return await executor.execute({ ...args, rootValue, contextValue });
  } finally {
    contextValue.release();
  }
}

/** A subscription's result gets its errors logged and masked here; those of all else, in the pipeline. */
function present({ payload, contextValue }: Args, result: ExecutionResult, options: Masking): FormattedExecutionResult {
  if (!result.errors) return result;
  const errors = result.errors.map((error) => maskLogged(error, options, payload.query, contextValue.requestId));
  return { ...result, errors };
}

/** What ends many subscriptions at once is logged once. */
const logged = new WeakSet<Error>();

/** `sent`: the document. */
export function maskLogged(
  error: GraphQLError,
  { log, hide }: Masking,
  sent: string,
  requestId: string,
): GraphQLFormattedError {
  const err = error.originalError ?? error;
  if (isInternal(error) && !logged.has(err)) {
    logged.add(err);
    log.error({ err, requestId }, 'subscription failed');
  }
  const masked = maskError(error.toJSON(), error);
  return hide ? withoutNames(hide, masked, error, sent, 'websocket') : masked;
}
