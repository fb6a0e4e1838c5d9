import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';

/** As this program has it, or as text that was made of the schema. */
export type Document<Data, Variables> = TypedDocumentNode<Data, Variables> | string;

export const textOf = (document: Document<unknown, never>): string =>
  typeof document === 'string' ? document : print(document);
