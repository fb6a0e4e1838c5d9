import {
  createSourceEventStream,
  GraphQLError,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError,
} from 'graphql';
import type { LiveSubscriptions } from '../../auth/live.ts';
import { audienceViewer } from '../../auth/visibility.ts';
import type { Viewer } from '../../auth/viewer.ts';
import type { FanOut } from '../../feed/fan-out/fan-out.ts';
import type { Render } from '../../feed/fan-out/group.ts';
import { groupKey } from '../../feed/fan-out/key.ts';
import { FeedStream, type FeedEvent } from '../../feed/stream.ts';
import { withoutRows } from '../../graphql/answer-size.ts';
import type { PreparedOperation } from '../../graphql/documents.ts';
import { codeOf } from '../../graphql/masking.ts';
import type { Operation, Operations } from '../../graphql/operation.ts';
import type { Pipeline } from '../../graphql/pipeline.ts';
import type { Values } from '../../graphql/variables.ts';
import { mapAsync } from '../../lib/iterables.ts';
import type { Lsn } from '../../lib/lsn.ts';
import type { Channel } from './conversation.ts';

export interface SubscriptionOptions {
  pipeline: Pipeline;
  operations: Operations;
  fanOut: FanOut;
  live: LiveSubscriptions;
}

/** A subscription that may be opened, and where its events go. */
export interface Subscription {
  operation: Operation;
  prepared: PreparedOperation;
  /** The variables: as they came, and of their types; where they are not, what is wrong with them. */
  sent: Values;
  coerced: Values | undefined;
  fault: GraphQLError | undefined;
  cost: number;
  channel: Channel;
}

type Events = AsyncGenerator<FormattedExecutionResult, void>;

/**
 * It is paid for, and holds what is needed as long as it lasts: no more variables than it declares.
 * @throws ClientError QUERY_TOO_COMPLEX, RATE_LIMITED
 */
export function admit(
  { limits }: Pipeline,
  operation: Operation,
  prepared: PreparedOperation,
  variables: Readonly<Values>,
  channel: Channel,
): Subscription {
  const { node } = prepared;
  operation.observer?.known('subscription', node.name?.value);
  const declared = (node.variableDefinitions ?? [])
    .map(({ variable }) => variable.name.value)
    .filter((name) => Object.hasOwn(variables, name));
  const sent = Object.fromEntries(declared.map((name) => [name, variables[name]]));
  const { coerced, fault } = prepared.variables.coerce(sent);
  const cost = limits.costOf(prepared, coerced);
  limits.checkKept(operation.prepared!.text, coerced ?? {});
  limits.budget.spend(operation.spender, cost);
  return { operation, prepared, sent, coerced, fault, cost, channel };
}

/** The feed's events are sent by the fan-out, once executed for all who want the same: of those, only the end comes out. */
export async function subscribe(
  options: SubscriptionOptions,
  subscription: Subscription,
): Promise<Events | FormattedExecutionResult> {
  const { observer } = subscription.operation;
  try {
    const source = await sourceOf(options, subscription);
    const events = open(options, subscription, source);
    observer?.ended('ok');
    return events;
  } catch (error) {
    observer?.ended(codeOf(error));
    if (error instanceof GraphQLError) return present(options, subscription, { errors: [error] });
    throw error;
  }
}

/** @throws GraphQLError where it cannot be opened. */
async function sourceOf(
  { pipeline: { schema } }: SubscriptionOptions,
  { operation, prepared: { document, node }, sent, fault }: Subscription,
): Promise<AsyncIterable<unknown>> {
  if (fault) throw fault;
  const operationName = node.name?.value;
  const args = { schema, document, operationName, variableValues: sent, contextValue: operation };
  const source = await createSourceEventStream(args);
  if (Symbol.asyncIterator in source) return source;
  throw source.errors![0]!;
}

function open(options: SubscriptionOptions, subscription: Subscription, source: AsyncIterable<unknown>): Events {
  const { operation, prepared, cost } = subscription;
  const { viewer, address } = operation;
  const name = prepared.node.name?.value ?? null;
  // What it fails with comes out of `next`, too.
  const end = () => void events.return().catch(() => undefined);
  const close = options.live.open({ viewer, address, operation: name, cost }, end);
  let events: Events;
  try {
    events =
      source instanceof FeedStream
        ? fanOut(options, subscription, source, close)
        : each(options, subscription, source, close);
  } catch (error) {
    close();
    throw error;
  }
  return events;
}

function each(
  options: SubscriptionOptions,
  subscription: Subscription,
  source: AsyncIterable<unknown>,
  ended: () => void,
): Events {
  const { viewer, spender } = subscription.operation;
  const execute = async (root: unknown) =>
    present(options, subscription, await executeOn(options, subscription, root, null, viewer, spender));
  return mapAsync(source, execute, ended);
}

function fanOut(
  options: SubscriptionOptions,
  subscription: Subscription,
  source: FeedStream,
  ended: () => void,
): Events {
  const { operation, prepared, coerced, cost, channel } = subscription;
  const key = groupKey(prepared.node, prepared.document, coerced ?? {}, source.request.sight.key);
  const {
    budget,
    options: { answer },
  } = options.pipeline.limits;
  const { spender } = operation;
  const work = async (event: FeedEvent, audience: string, payer: string): Promise<string> => {
    const seen = event.kind === 'change' ? event.change.seen : null;
    const viewer = audienceViewer(operation.viewer, audience);
    try {
      const result = await executeOn(options, subscription, source.toRoot(event), seen, viewer, payer);
      const shown = withoutLocations(present(options, subscription, result));
      const text = JSON.stringify(shown);
      return text.length > answer ? JSON.stringify(withoutRows(shown, answer)) : text;
    } catch (error) {
      // It could not even be executed: it is told as one with an error, and the next one comes.
      return JSON.stringify({ errors: masked(options, subscription, [error]) });
    }
  };
  const render: Render = (event, audience, payers) =>
    budget.event(payers, cost, (payer) => work(event, audience, payer));
  return options.fanOut.open(key, source, channel, ended, { render, cost, spender });
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

/** One event, with loaders of its own, that read at or past it. */
async function executeOn(
  { operations, pipeline }: SubscriptionOptions,
  { operation, prepared, sent, coerced = {} }: Subscription,
  rootValue: unknown,
  seen: Lsn | null,
  viewer: Viewer,
  spender: string,
): Promise<ExecutionResult> {
  const contextValue = operations.forEvent(operation, viewer, seen, spender);
  contextValue.begun();
  try {
    return await pipeline.executor.execute(prepared, { rootValue, contextValue, sent, coerced });
  } finally {
    contextValue.release();
  }
}

const present = (
  options: SubscriptionOptions,
  subscription: Subscription,
  { errors, ...result }: ExecutionResult,
): FormattedExecutionResult => (errors ? { ...result, errors: masked(options, subscription, errors) } : result);

const masked = (
  { pipeline }: SubscriptionOptions,
  { operation: { requestId, via, prepared } }: Subscription,
  errors: readonly unknown[],
): GraphQLFormattedError[] =>
  pipeline.masking.mask(errors, { of: 'subscription', requestId, via, text: prepared!.text });
