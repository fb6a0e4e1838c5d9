import {
  GraphQLError,
  Kind,
  NoSchemaIntrospectionCustomRule,
  OverlappingFieldsCanBeMergedRule,
  parse,
  specifiedRules,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type ValidationRule,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { mayAll, type Viewer } from '../auth/viewer.ts';
import { tooComplex } from '../lib/errors.ts';
import { selectionsIn, type CountCost, type Measure } from './measure.ts';
import { conditionalSubscriptions, fieldsMergeRule } from './validation.ts';
import { Variables } from './variables.ts';

/** A text that was read, with all that was found out of it: one entry of the cache. */
export interface PreparedDocument {
  text: string;
  document: DocumentNode;
  /** What is wrong with it; then none of its operations runs. */
  errors: readonly GraphQLError[];
  /** It asks for the schema, which administrators alone are told: what others are told instead. */
  asksForSchema: GraphQLError | undefined;
  size: Size;
  operations: readonly PreparedOperation[];
}

/** One of its operations. What is not known yet is found out when it first runs. */
export interface PreparedOperation {
  document: DocumentNode;
  node: OperationDefinitionNode;
  variables: Variables;
  /** Where it comes to the same with any variables, and counts cost as they did. */
  measured: { measure: Measure; countCost: CountCost } | undefined;
  /** Times that it is still interpreted before it is compiled. */
  untilCompiled: number;
  compiled: CompiledQuery | undefined;
}

export type CompiledQuery = (
  rootValue: unknown,
  contextValue: unknown,
  coerced: Readonly<Record<string, unknown>>,
) => ExecutionResult | Promise<ExecutionResult>;

/** Compiling costs as much as some tens of executions: what is sent once is not worth it. */
const COMPILED_AFTER = 3;

interface Size {
  tokens: number;
  /** As often as fragments repeat them; infinite where one holds itself, which is an error of its own. */
  selections: number;
}

export interface DocumentOptions {
  /** Whether all clients may ask for the schema, and are told what they may have meant. */
  introspection: boolean;
  characters: ByViewer;
  tokens: ByViewer;
  selections: ByViewer;
}

/** The most, for who is signed in and for who is not. */
interface ByViewer {
  known: number;
  anonymous: number;
}

/** Instead of one that could not be read at all. */
export const unreadable = (text: string, error: GraphQLError): PreparedDocument => ({
  text,
  document: { kind: Kind.DOCUMENT, definitions: [] },
  errors: [error],
  asksForSchema: undefined,
  size: { tokens: 0, selections: 0 },
  operations: [],
});

/** The one of that name, or the only one. Undefined: `unresolved` says why. */
export const operationNamed = ({ operations }: PreparedDocument, name: string | null | undefined) =>
  name == null && operations.length > 1
    ? undefined
    : operations.find(({ node }) => name == null || node.name?.value === name);

/** As graphql says it where it executes. */
export function unresolved({ operations }: PreparedDocument, name: string | null | undefined): GraphQLError {
  const which =
    operations.length > 0
      ? 'Must provide operation name if query contains multiple operations.'
      : 'Must provide an operation.';
  const message = name == null ? which : `Unknown operation named "${name.slice(0, 100)}".`;
  return new GraphQLError(message, { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } });
}

/** Each costs the place that it has in the text, which is looked for from the start. */
const MOST_ERRORS = 20;

/**
 * Parses and validates each text once, and keeps what it found. What a text may cost is bounded before it is parsed, and
 * before it is validated: both hold up everybody. GraphQL over HTTP, websockets and REST share it.
 */
export class Documents {
  readonly #schema: GraphQLSchema;
  readonly #options: DocumentOptions;
  readonly #rules: readonly ValidationRule[];
  /** Texts that came once go here first: however many new ones somebody sends, they leave those in use alone. */
  readonly #new = keptByText(100, 1_000_000);
  readonly #used = keptByText(400, 4_000_000);

  constructor(schema: GraphQLSchema, options: DocumentOptions) {
    this.#schema = schema;
    this.#options = options;
    this.#rules = specifiedRules.filter((rule) => rule !== OverlappingFieldsCanBeMergedRule);
  }

  /** Undefined: it was not read before, or was forgotten. */
  known(text: string): PreparedDocument | undefined {
    return this.#used.get(text) ?? this.#again(text);
  }

  /** @throws GraphQLError GRAPHQL_PARSE_FAILED, ClientError QUERY_TOO_COMPLEX */
  read(text: string, viewer: Viewer): PreparedDocument {
    const known = this.known(text);
    if (known) return this.check(known, viewer);
    this.checkText(text, viewer);
    const document = parseCoded(text, this.#options.tokens.known);
    const size = { tokens: document.tokenCount ?? 0, selections: selectionsIn(document) };
    this.#checkSize(size, viewer);
    const errors = this.#validate(document, size);
    const asksForSchema = this.#options.introspection ? undefined : this.#asksForSchema(document);
    const read = { text, document, errors, asksForSchema, size, operations: this.#operationsIn(document) };
    this.#new.set(text, read);
    return read;
  }

  /** Before anything is done with it. @throws ClientError QUERY_TOO_COMPLEX */
  checkText({ length }: string, viewer: Viewer): void {
    refuseBeyond(this.#options.characters, viewer, length, 'characters');
  }

  /**
   * Hands back what is not too large for this viewer, and asks for nothing that is not theirs to know.
   * @throws ClientError QUERY_TOO_COMPLEX, GraphQLError GRAPHQL_VALIDATION_FAILED
   */
  check(document: PreparedDocument, viewer: Viewer): PreparedDocument {
    this.#checkSize(document.size, viewer);
    if (document.asksForSchema && !mayAll(viewer)) throw document.asksForSchema;
    return document;
  }

  #checkSize({ tokens, selections }: Size, viewer: Viewer): void {
    refuseBeyond(this.#options.tokens, viewer, tokens, 'tokens');
    if (selections < Infinity)
      refuseBeyond(this.#options.selections, viewer, selections, 'selections, as often as fragments repeat them');
  }

  #again(text: string): PreparedDocument | undefined {
    const found = this.#new.get(text);
    if (!found) return undefined;
    this.#new.delete(text);
    this.#used.set(text, found);
    return found;
  }

  #operationsIn(document: DocumentNode): PreparedOperation[] {
    return document.definitions
      .filter((definition) => definition.kind === Kind.OPERATION_DEFINITION)
      .map((node) => ({
        document,
        node,
        variables: new Variables(this.#schema, node.variableDefinitions),
        measured: undefined,
        untilCompiled: COMPILED_AFTER,
        compiled: undefined,
      }));
  }

  /** Where a fragment holds itself, that is what is wrong, and nothing is to be merged. */
  #validate(document: DocumentNode, { selections }: Size): readonly GraphQLError[] {
    const rules = selections < Infinity ? [...this.#rules, fieldsMergeRule] : this.#rules;
    const options = { hideSuggestions: !this.#options.introspection, maxErrors: MOST_ERRORS };
    const conditional = conditionalSubscriptions(document);
    const errors = conditional.length > 0 ? conditional : validate(this.#schema, document, rules, options);
    return errors.map((error) => coded(error, 'GRAPHQL_VALIDATION_FAILED'));
  }

  #asksForSchema(document: DocumentNode): GraphQLError | undefined {
    const [error] = validate(this.#schema, document, [NoSchemaIntrospectionCustomRule], { maxErrors: 1 });
    return error && coded(error, 'GRAPHQL_VALIDATION_FAILED');
  }
}

function refuseBeyond({ known, anonymous }: ByViewer, { user, isOpen }: Viewer, came: number, what: string): void {
  const isAnonymous = user === null && !isOpen;
  const most = isAnonymous ? anonymous : known;
  if (came > most)
    throw tooComplex(`has ${came} ${what}, and ${most} are the most${isAnonymous ? ' before one signs in' : ''}`);
}

const keptByText = (most: number, mostCharacters: number) =>
  new LRUCache<string, PreparedDocument>({
    max: most,
    maxSize: mostCharacters,
    sizeCalculation: (_, text) => text.length + 1,
  });

function parseCoded(text: string, maxTokens: number): DocumentNode {
  try {
    return parse(text, { maxLexicalTokens: maxTokens });
  } catch (error) {
    throw error instanceof GraphQLError ? coded(error, 'GRAPHQL_PARSE_FAILED') : error;
  }
}

const coded = ({ message, nodes, source, positions }: GraphQLError, code: string) =>
  new GraphQLError(message, { nodes, source, positions, extensions: { code } });
