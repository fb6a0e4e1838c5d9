import { GraphQLError, parse, validate, type DocumentNode, type GraphQLSchema } from 'graphql';
import { LRUCache } from 'lru-cache';

export interface ReadDocument {
  document: DocumentNode;
  /** What is wrong with it, by the schema. */
  errors: GraphQLError[];
}

const MOST = 500;
/** Characters of all texts. */
const MOST_TEXT = 5_000_000;

/** What is known of texts that clients send: of the latest, bounded by their number and their size. */
export const keptByText = <Value extends object>() =>
  new LRUCache<string, Value>({
    max: MOST,
    maxSize: MOST_TEXT,
    maxEntrySize: MOST_TEXT / 50,
    sizeCalculation: (_, text) => text.length + 1,
  });

/** Parses and validates each text once, and keeps what it found. */
export class Documents {
  readonly #schema: GraphQLSchema;
  readonly #maxTokens: number;
  readonly #known = keptByText<ReadDocument>();

  constructor(schema: GraphQLSchema, maxTokens: number) {
    this.#schema = schema;
    this.#maxTokens = maxTokens;
  }

  /** @throws GraphQLError GRAPHQL_PARSE_FAILED */
  read(text: string): ReadDocument {
    const known = this.#known.get(text);
    if (known) return known;
    const document = parseCoded(text, this.#maxTokens);
    const errors = validate(this.#schema, document).map((error) => coded(error, 'GRAPHQL_VALIDATION_FAILED'));
    this.#known.set(text, { document, errors });
    return { document, errors };
  }
}

function parseCoded(text: string, maxTokens: number): DocumentNode {
  try {
    return parse(text, { maxLexicalTokens: maxTokens });
  } catch (error) {
    throw error instanceof GraphQLError ? coded(error, 'GRAPHQL_PARSE_FAILED') : error;
  }
}

const coded = ({ message, nodes, source, positions }: GraphQLError, code: string) =>
  new GraphQLError(message, { nodes, source, positions, extensions: { code } });
