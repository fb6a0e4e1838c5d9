import type { FormattedExecutionResult, GraphQLFormattedError } from 'graphql';
import type { Client } from 'graphql-ws';
import { textOf, type Document } from './document.ts';

export interface Following<Data, Variables> {
  document: Document<Data, Variables>;
  /** Asked at every start: the cursor to go on after is among them. */
  variables: () => Variables;
  next: (data: Data) => void;
  /** The server refused it, or ended it with an error. It is started again all the same. */
  failed?: (code: string, message: string) => void;
}

export type Iterates = Pick<Client, 'iterate'>;

/** Keeps a subscription going across lost connections. Returns how to end it. */
export function follow<Data, Variables>(
  client: Iterates,
  following: Following<Data, Variables>,
  pause: (failures: number) => Promise<void> = backOff,
): () => void {
  const query = textOf(following.document);
  let isOver = false;
  let events: AsyncIterableIterator<FormattedExecutionResult<Data, unknown>> | undefined;
  const run = async () => {
    for (let failures = 0; !isOver; failures++) {
      const variables = following.variables() as Record<string, unknown>;
      events = client.iterate<Data>({ query, variables });
      for await (const data of untilItEnds(events, following)) {
        if (isOver) return;
        failures = 0;
        following.next(data);
      }
      if (!isOver) await pause(failures);
    }
  };
  void run();
  return () => {
    isOver = true;
    void events?.return?.();
  };
}

/** However it ends: a closed connection is no error here. */
async function* untilItEnds<Data>(
  events: AsyncIterableIterator<FormattedExecutionResult<Data, unknown>>,
  { failed }: Pick<Following<Data, never>, 'failed'>,
): AsyncGenerator<Data> {
  const tell = ([error]: readonly GraphQLFormattedError[]) =>
    error && failed?.(String(error.extensions?.['code']), error.message);
  try {
    for await (const { data, errors } of events) {
      if (errors) tell(errors);
      else if (data) yield data;
    }
  } catch (error) {
    if (Array.isArray(error)) tell(error as GraphQLFormattedError[]);
  }
}

const FIRST_MS = 200;
const LONGEST_MS = 3000;

/** Longer each time, up to a bound, and not all clients at once. */
function backOff(failures: number): Promise<void> {
  const most = Math.min(FIRST_MS * 2 ** failures, LONGEST_MS);
  return new Promise((resolve) => setTimeout(resolve, most * (0.5 + Math.random() / 2)));
}
