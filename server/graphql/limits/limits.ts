import type { DocumentNode, GraphQLSchema, OperationDefinitionNode } from 'graphql';
import type { Viewer } from '../../auth/viewer.ts';
import type { Budget } from '../../lib/budget.ts';
import { ClientError } from '../../lib/errors.ts';
import type { Documents, ReadDocument } from '../documents.ts';
import { Variables } from '../variables.ts';
import { measure, type Measure } from './measure.ts';
import { countCosts, type CountCost } from './prices.ts';
import { tooComplex } from './too-complex.ts';

export interface LimitOptions {
  /** Of a document, while it is parsed. */
  tokens: number;
  depth: number;
  aliases: number;
  cost: number;
  /** At once on one socket. */
  socketOperations: number;
  /** Of a subscription, held as long as it lasts. */
  subscriptionBytes: number;
  socketsPerAddress: number;
  /** With more than this waiting to leave on a websocket, nothing more is read from it. */
  socketUnsentBytes: number;
  operationTimeoutMs: number;
}

/** Of a document, what takes as long as a row that is read, resolved and sent: some ten microseconds. */
const [CHARACTERS_FOR_ONE, SELECTIONS_FOR_ONE] = [100, 4];

interface Sizes {
  /** About how many tables have; another map when that is another. */
  readonly rows: ReadonlyMap<string, number>;
}

/** Whose operation it is. */
interface Payer {
  readonly spender: string;
  cost?: number;
  turn: (cost: number) => Promise<void> | undefined;
}

/** What one operation may come to, and how many there may be: the same over HTTP, websocket and REST. */
export class Limits {
  readonly options: LimitOptions;
  readonly budget: Budget;
  readonly #schema: GraphQLSchema;
  readonly #variables: Variables;
  readonly #sizes: Sizes;
  /** What counts cost was worked out from these. */
  #rows: Sizes['rows'];
  #countCost: CountCost;
  /** Of operations that come to the same whatever their variables are. */
  #measured = new WeakMap<OperationDefinitionNode, Measure>();

  constructor(schema: GraphQLSchema, options: LimitOptions, budget: Budget, sizes: Sizes) {
    this.options = options;
    this.budget = budget;
    this.#sizes = sizes;
    this.#rows = sizes.rows;
    this.#countCost = countCosts(schema, this.#rows, options);
    this.#schema = schema;
    this.#variables = new Variables(schema);
  }

  /** The cost; `variables` are as they were sent. @throws ClientError QUERY_TOO_COMPLEX. The document is valid. */
  check(
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Readonly<Record<string, unknown>>,
  ): number {
    const { depth, aliases, cost } = this.options;
    const found = this.#measure(document, operation, variables);
    if (!found) return 0;
    if (found.depth > depth) throw tooComplex(`is nested ${found.depth} deep, and ${depth} is the most`);
    if (found.aliases > aliases) throw tooComplex(`has ${found.aliases} aliases, and ${aliases} are the most`);
    if (found.cost > cost) throw tooComplex(`may read ${found.cost} rows and more, and ${cost} are the most`);
    return found.cost;
  }

  /** A document that was not read before is paid for as what else takes as long. @throws as Documents, or RATE_LIMITED */
  read(documents: Documents, text: string, { viewer, spender }: { viewer: Viewer; spender: string }): ReadDocument {
    const known = documents.known(text);
    if (known) return documents.check(known, viewer);
    this.budget.spend(spender, undefined);
    this.budget.debit(spender, Math.ceil(text.length / CHARACTERS_FOR_ONE));
    const read = documents.read(text, viewer);
    const { tokens, selections } = read.size;
    this.budget.debit(spender, Math.ceil((tokens + (selections < Infinity ? selections : 0)) / SELECTIONS_FOR_ONE));
    return read;
  }

  /**
   * Pays for an operation that is to run, once. Undefined: it may run at once.
   * @throws ClientError QUERY_TOO_COMPLEX, or RATE_LIMITED
   */
  pay(
    payer: Payer,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Readonly<Record<string, unknown>>,
  ): Promise<void> | undefined {
    if (payer.cost !== undefined) return undefined;
    const cost = this.check(document, operation, variables);
    this.budget.spend(payer.spender, cost);
    payer.cost = cost;
    return payer.turn(cost);
  }

  /** What counts is what a resolver gets, defaults included. Undefined: variables that are not of their types, so nothing will run. */
  #measure(
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Readonly<Record<string, unknown>>,
  ): Measure | undefined {
    if (this.#rows !== this.#sizes.rows) this.#price();
    const known = this.#measured.get(operation);
    if (known) return known;
    const coerced = this.#variables.coerce(operation, variables);
    if (!coerced) return undefined;
    const { isFixed, ...found } = measure(this.#schema, document, operation, coerced, this.#countCost);
    if (isFixed) this.#measured.set(operation, found);
    return found;
  }

  #price(): void {
    this.#rows = this.#sizes.rows;
    this.#countCost = countCosts(this.#schema, this.#rows, this.options);
    this.#measured = new WeakMap();
  }

  /** What a subscription holds as long as it lasts, as it was sent. @throws ClientError QUERY_TOO_COMPLEX */
  checkKept(
    { query, variables }: { query: string; variables?: Readonly<Record<string, unknown>> | null | undefined },
    operation: OperationDefinitionNode,
  ): void {
    const { subscriptionBytes: most } = this.options;
    // Where they are not of their types nothing is held: it will not run.
    const coerced = this.#variables.coerce(operation, variables ?? {}) ?? {};
    const bytes = Buffer.byteLength(query) + Buffer.byteLength(JSON.stringify(coerced));
    if (bytes > most)
      throw tooComplex(
        `holds ${bytes} bytes as long as it lasts, its document and variables, and ${most} are the most`,
      );
  }

  /** @throws ClientError RATE_LIMITED */
  checkSocket(running: number): void {
    const { socketOperations } = this.options;
    if (running <= socketOperations) return;
    throw new ClientError(
      'RATE_LIMITED',
      `This websocket has ${socketOperations} operations under way: end one first.`,
    );
  }
}
