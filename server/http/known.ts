import type { ApolloServerPlugin, GraphQLRequest } from '@apollo/server';
import { getOperationAST, type DocumentNode, type OperationDefinitionNode } from 'graphql';
import { keptByText } from './documents.ts';

export interface KnownOperation {
  document: DocumentNode;
  operation: OperationDefinitionNode;
}

/** Documents that Apollo Server has found valid, by their text. */
export class KnownDocuments {
  readonly #documents = keptByText<DocumentNode>();

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
