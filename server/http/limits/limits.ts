import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { DocumentNode, GraphQLSchema, OperationDefinitionNode } from 'graphql';
import { consume } from '../../access/throttle.ts';
import type { Viewer } from '../../access/viewer.ts';
import { ClientError } from '../../lib/errors.ts';
import { networkOf } from '../../lib/network.ts';
import { Variables } from '../variables.ts';
import { measure, type Measure } from './measure.ts';
import { tooComplex } from './too-complex.ts';

export interface LimitOptions {
  /** Of a document, while it is parsed. */
  tokens: number;
  depth: number;
  aliases: number;
  cost: number;
  /** Of one user, or of one network where nobody is signed in; 0: no limit. */
  requestsPerSecond: number;
  /** At once on one socket. */
  socketOperations: number;
  /** Of a subscription, held as long as it lasts. */
  subscriptionBytes: number;
  socketsPerAddress: number;
  /** With more than this waiting to leave on a websocket, nothing more is read from it. */
  socketUnsentBytes: number;
  operationTimeoutMs: number;
}

/** What one operation may come to, and how many there may be: the same over HTTP, websocket and REST. */
export class Limits {
  readonly options: LimitOptions;
  readonly #schema: GraphQLSchema;
  readonly #variables: Variables;
  readonly #rate: RateLimiterMemory | undefined;
  /** Of operations that come to the same whatever their variables are. */
  readonly #measured = new WeakMap<OperationDefinitionNode, Measure>();

  constructor(schema: GraphQLSchema, options: LimitOptions) {
    this.options = options;
    this.#schema = schema;
    this.#variables = new Variables(schema);
    const { requestsPerSecond: points } = options;
    if (points > 0) this.#rate = new RateLimiterMemory({ points, duration: 1 });
  }

  /** Counts a request. @throws ClientError RATE_LIMITED */
  async count({ user }: Viewer, address: string): Promise<void> {
    if (this.#rate) await consume(this.#rate, user ? `user ${user.id}` : `address ${networkOf(address)}`);
  }

  /** `variables` are as they were sent. @throws ClientError QUERY_TOO_COMPLEX. The document is valid. */
  check(
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Readonly<Record<string, unknown>>,
  ): void {
    const { depth, aliases, cost } = this.options;
    const found = this.#measure(document, operation, variables);
    if (!found) return;
    if (found.depth > depth) throw tooComplex(`is nested ${found.depth} deep, and ${depth} is the most`);
    if (found.aliases > aliases) throw tooComplex(`has ${found.aliases} aliases, and ${aliases} are the most`);
    if (found.cost > cost) throw tooComplex(`may read ${found.cost} rows and more, and ${cost} are the most`);
  }

  /** What counts is what a resolver gets, defaults included. Undefined: variables that are not of their types, so nothing will run. */
  #measure(
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Readonly<Record<string, unknown>>,
  ): Measure | undefined {
    const known = this.#measured.get(operation);
    if (known) return known;
    const coerced = this.#variables.coerce(operation, variables);
    if (!coerced) return undefined;
    const { isFixed, ...found } = measure(this.#schema, document, operation, coerced);
    if (isFixed) this.#measured.set(operation, found);
    return found;
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
