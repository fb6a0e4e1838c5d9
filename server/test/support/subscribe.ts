import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import type { Client, ExecutionResult } from 'graphql-ws';

/** A subscription whose events are taken one by one. */
export interface Events<Data> {
  next: () => Promise<Data>;
  /** The errors that it ends with. */
  failure: () => Promise<{ message: string; extensions: { code: string; field?: string } }[]>;
  end: () => Promise<void>;
}

export function subscribeTo<Data>(
  client: Client,
  document: TypedDocumentNode<Data, any> | string,
  variables: object = {},
): Events<Data> {
  const query = typeof document === 'string' ? document : print(document);
  const events = client.iterate<Data>({ query, variables: { ...variables } });
  return {
    next: async () => {
      const { value, done } = (await events.next()) as { value: ExecutionResult<Data>; done?: boolean };
      if (done) throw new Error('the subscription has ended');
      if (value.errors) throw new Error(JSON.stringify(value.errors));
      return value.data!;
    },
    failure: () =>
      events.next().then(
        ({ value }) => value?.errors ?? Promise.reject(new Error('no failure')),
        (errors) => errors,
      ),
    end: async () => void (await events.return?.()),
  };
}
