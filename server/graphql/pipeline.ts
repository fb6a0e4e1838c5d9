import {
  GraphQLError,
  Kind,
  OperationTypeNode,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLSchema,
  type SelectionNode,
} from 'graphql';
import { Renewed } from '../auth/tokens.ts';
import {
  operationNamed,
  unreadable,
  unresolved,
  type Documents,
  type PreparedDocument,
  type PreparedOperation,
} from './documents.ts';
import { Executor } from './execution.ts';
import type { Limits } from './limits.ts';
import { asGraphqlError, codeIn, statusOf, type Masking } from './masking.ts';
import type { Operation } from './operation.ts';
import type { TrustedDocuments } from './trusted.ts';
import type { Values } from './variables.ts';

/** What is to be run. */
export interface GraphQLRequest {
  /** A document. */
  query: string;
  operationName?: string | null | undefined;
  variables?: Readonly<Values> | null | undefined;
  /** Reads the variables again, from the text that they came in, with all digits of their numbers. */
  exact?: (() => unknown) | undefined;
}

/** What an operation came to. */
export interface Outcome {
  /** Of an HTTP response. */
  status: number;
  result: FormattedExecutionResult;
  /** Of what it has read and written; undefined: of nothing. */
  bookmark: string | undefined;
  hasWritten: boolean;
  /** In seconds; undefined: not at all, or there is no use in it. */
  retryAfter: number | undefined;
}

export interface PipelineOptions {
  schema: GraphQLSchema;
  documents: Documents;
  limits: Limits;
  masking: Masking;
  trusted: TrustedDocuments | undefined;
}

/** Of a document, what takes as long as a row that is read, resolved and sent: some ten microseconds. */
const [CHARACTERS_FOR_ONE, SELECTIONS_FOR_ONE] = [100, 4];

const NO_VARIABLES: Readonly<Values> = {};

/** The one way of an operation, over HTTP, websockets and REST: these translate what they are sent, and what comes of it. */
export class Pipeline {
  readonly schema: GraphQLSchema;
  readonly limits: Limits;
  readonly masking: Masking;
  readonly executor: Executor;
  readonly #documents: Documents;
  readonly #trusted: TrustedDocuments | undefined;

  constructor({ schema, documents, limits, masking, trusted }: PipelineOptions) {
    this.schema = schema;
    this.limits = limits;
    this.masking = masking;
    this.executor = new Executor(schema);
    this.#documents = documents;
    this.#trusted = trusted;
  }

  /** Runs a query or a mutation to its end. It never fails: what goes wrong is in the outcome. */
  async run(operation: Operation, { query, operationName, variables, exact }: GraphQLRequest): Promise<Outcome> {
    operation.begun();
    try {
      const document = this.prepare(operation, query);
      if (document.errors.length > 0) return this.refuse(operation, document.errors);
      const prepared = operationNamed(document, operationName);
      if (!prepared) throw unresolved(document, operationName);
      admit(operation, prepared);
      const sent = variables && exact ? prepared.variables.exactly(variables, exact) : (variables ?? NO_VARIABLES);
      const { coerced, fault } = prepared.variables.coerce(sent);
      // Awaited only where there is something to wait for: most of what comes has no need of it.
      const cost = this.limits.costOf(prepared, coerced);
      const turn = this.#pay(operation, cost);
      if (turn) await turn;
      if (fault) throw fault;
      const result = await this.executor.execute(prepared, { contextValue: operation, sent, coerced });
      const isQuery = prepared.node.operation === OperationTypeNode.QUERY;
      this.limits.checkAnswer(result.data, { spender: operation.spender, isQuery, cost });
      return this.#outcome(operation, result);
    } catch (error) {
      return this.refuse(operation, [error]);
    }
  }

  /**
   * Finds or reads the document, once for an operation. What is wrong with it, or with who asks for it, is in its errors.
   * `hash` is sent in place of the text of a trusted one.
   */
  prepare(operation: Operation, query: string, hash?: unknown): PreparedDocument {
    operation.prepared ??= this.#prepare(operation, query, hash);
    return operation.prepared;
  }

  #prepare({ viewer, spender, via }: Operation, query: string, hash: unknown): PreparedDocument {
    try {
      // REST's documents are the server's own.
      const text = this.#trusted && via !== 'rest' ? this.#trusted.admit(query, hash) : query;
      const document = this.#documents.known(text) ?? this.#read(text, viewer, spender);
      return this.#documents.check(document, viewer);
    } catch (error) {
      return unreadable(query, asGraphqlError(error));
    }
  }

  /** A document that was not read before is paid for as what else takes as long. */
  #read(text: string, viewer: Operation['viewer'], spender: string): PreparedDocument {
    const { budget } = this.limits;
    this.#documents.checkText(text, viewer);
    budget.spend(spender, undefined);
    budget.debit(spender, Math.ceil(text.length / CHARACTERS_FOR_ONE));
    const document = this.#documents.read(text, viewer);
    const { tokens, selections } = document.size;
    budget.debit(spender, Math.ceil((tokens + (selections < Infinity ? selections : 0)) / SELECTIONS_FOR_ONE));
    return document;
  }

  /** Undefined: it may run at once. */
  #pay(operation: Operation, cost: number): Promise<void> | undefined {
    this.limits.budget.spend(operation.spender, cost);
    return operation.turn(cost);
  }

  /** The end of an operation that does not run. */
  refuse(operation: Operation, errors: readonly unknown[]): Outcome {
    return this.#outcome(operation, { errors: errors.map(asGraphqlError) });
  }

  /** What went wrong is masked, and the log has it; the client is told where its operation was answered. */
  #outcome(operation: Operation, { errors: found, data }: ExecutionResult): Outcome {
    const { requestId, via, prepared, observer, reads } = operation;
    const readback = operation.report;
    operation.release();
    const errors = found && this.masking.mask(found, { of: 'operation', requestId, via, text: prepared?.text ?? '' });
    const [first] = errors ?? [];
    observer?.ended(first ? codeIn(first) : 'ok', readback);
    const refusal = data === undefined ? first : undefined;
    return {
      status: refusal ? statusOf(codeIn(refusal)) : 200,
      result: { errors, data, extensions: { readback } },
      bookmark: readback.bookmark,
      hasWritten: reads.hasWritten,
      retryAfter: refusal?.extensions?.['retryAfter'] as number | undefined,
    };
  }
}

/** @throws ClientError UNAUTHENTICATED: a token that was renewed too long ago is good for one operation alone. */
function admit({ viewer, observer }: Operation, { node }: PreparedOperation): void {
  observer?.known(node.operation, node.name?.value);
  if (viewer.renewed && !node.selectionSet.selections.every(isRenewal)) throw new Renewed(viewer.renewed);
  if (node.operation === 'subscription') throw overWebsocket();
}

const isRenewal = (field: SelectionNode) => field.kind === Kind.FIELD && field.name.value === 'renewToken';

const overWebsocket = () =>
  new GraphQLError('Subscriptions run over the websocket of this address, by graphql-transport-ws.', {
    extensions: { code: 'BAD_REQUEST' },
  });
