import type { GraphQLSchema } from 'graphql';
import type { Budget } from '../lib/budget.ts';
import { ClientError, tooComplex } from '../lib/errors.ts';
import type { PreparedOperation } from './documents.ts';
import { charactersOf } from './answer-size.ts';
import { countCosts, measure, type CountCost, type Measure } from './measure.ts';
import type { Values } from './variables.ts';

export interface LimitOptions {
  depth: number;
  aliases: number;
  cost: number;
  /** Characters of a query's answer. */
  answer: number;
  /** At once on one socket. */
  socketOperations: number;
  /** Of a subscription, held as long as it lasts. */
  subscriptionBytes: number;
  socketsPerAddress: number;
  /** With more than this waiting to leave on a websocket, nothing more is read from it. */
  socketUnsentBytes: number;
  operationTimeoutMs: number;
}

/** To make and send that many takes no longer than a row. */
const CHARACTERS_OF_A_ROW = 1000;

interface Sizes {
  /** About how many tables have; another map when that is another. */
  readonly rows: ReadonlyMap<string, number>;
}

/** What one operation may come to, and how many there may be: the same over HTTP, websocket and REST. */
export class Limits {
  readonly options: LimitOptions;
  readonly budget: Budget;
  readonly #schema: GraphQLSchema;
  readonly #sizes: Sizes;
  /** What counts cost was worked out from these. */
  #rows: Sizes['rows'];
  #countCost: CountCost;

  constructor(schema: GraphQLSchema, options: LimitOptions, budget: Budget, sizes: Sizes) {
    this.options = options;
    this.budget = budget;
    this.#sizes = sizes;
    this.#rows = sizes.rows;
    this.#countCost = countCosts(schema, this.#rows, options);
    this.#schema = schema;
  }

  /** `coerced` is undefined where variables are not of their types: nothing will run. @throws ClientError QUERY_TOO_COMPLEX */
  costOf(operation: PreparedOperation, coerced: Values | undefined): number {
    const { depth, aliases, cost } = this.options;
    const found = this.#measure(operation, coerced);
    if (!found) return 0;
    if (found.depth > depth) throw tooComplex(`is nested ${found.depth} deep, and ${depth} is the most`);
    if (found.aliases > aliases) throw tooComplex(`has ${found.aliases} aliases, and ${aliases} are the most`);
    if (found.cost > cost) throw tooComplex(`may read ${found.cost} rows and more, and ${cost} are the most`);
    return found.cost;
  }

  /** What counts is what a resolver gets, defaults included. */
  #measure(operation: PreparedOperation, coerced: Values | undefined): Measure | undefined {
    if (this.#rows !== this.#sizes.rows) {
      this.#rows = this.#sizes.rows;
      this.#countCost = countCosts(this.#schema, this.#rows, this.options);
    }
    const countCost = this.#countCost;
    if (operation.measured?.countCost === countCost) return operation.measured.measure;
    if (!coerced) return undefined;
    const { isFixed, ...found } = measure(this.#schema, operation.document, operation.node, coerced, countCost);
    if (isFixed) operation.measured = { measure: found, countCost };
    return found;
  }

  /**
   * Looks at what an operation is answered, before that is made a text, which nobody else can be served during. What it has
   * beyond what its rows were paid for is paid for, too; what a mutation did it is told all the same.
   * @throws ClientError QUERY_TOO_COMPLEX
   */
  checkAnswer(data: unknown, { spender, isQuery, cost }: { spender: string; isQuery: boolean; cost: number }): void {
    const most = isQuery ? this.options.answer : Infinity;
    const characters = charactersOf(data, most);
    this.budget.debit(spender, Math.max(0, Math.floor(characters / CHARACTERS_OF_A_ROW) - cost));
    if (characters > most)
      throw tooComplex(`has an answer of more than ${most} characters, which are the most in an answer`);
  }

  /** What a subscription holds as long as it lasts. @throws ClientError QUERY_TOO_COMPLEX */
  checkKept(text: string, coerced: Values): void {
    const { subscriptionBytes: most } = this.options;
    const bytes = Buffer.byteLength(text) + Buffer.byteLength(JSON.stringify(coerced));
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
