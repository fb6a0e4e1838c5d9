import type { ApolloServerPlugin, GraphQLRequest } from '@apollo/server';
import { getOperationAST, type DocumentNode, type OperationDefinitionNode } from 'graphql';
import { LRUCache } from 'lru-cache';

export interface KnownOperation {
  document: DocumentNode;
  operation: OperationDefinitionNode;
}

const MOST = 500;
/** Characters of all texts. */
const MOST_TEXT = 5_000_000;

/** Documents that Apollo Server has found valid, by their text. */
export class KnownDocuments {
  readonly #documents = new LRUCache<string, DocumentNode>({
    max: MOST,
    maxSize: MOST_TEXT,
    maxEntrySize: MOST_TEXT / 50,
    sizeCalculation: (_, text) => text.length + 1,
  });

  readonly plugin: ApolloServerPlugin = {
    requestDidStart: async () => ({
      didResolveOperation: async ({ source, document }) => {
        this.#documents.set(source, document);
      },
    }),
  };

  /** Undefined: it is not known, or of several operations it is not said which. */
  find({ query, operationName }: GraphQLRequest): KnownOperation | undefined {
    const document = query === undefined ? undefined : this.#documents.get(query);
    if (!document) return undefined;
    const operation = getOperationAST(document, operationName);
    return operation ? { document, operation } : undefined;
  }
}
