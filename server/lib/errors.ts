import { GraphQLError } from 'graphql';

/** Every code a client can meet, besides GraphQL's own for documents that do not parse, validate or coerce. */
export type ErrorCode =
  | 'BAD_USER_INPUT'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'BAD_BOOKMARK'
  | 'BAD_CURSOR'
  | 'CURSOR_EXPIRED'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'RATE_LIMITED'
  | 'QUERY_TOO_COMPLEX'
  | 'PRIMARY_UNAVAILABLE'
  | 'REPLICA_UNAVAILABLE'
  | 'TIMEOUT';

/** An error made for clients: its message says what was expected, what came and what to do, and nothing of the inside. */
export class ClientError extends GraphQLError {
  readonly code: ErrorCode;
  readonly field: string | undefined;

  /** `retryAfterS`: when it is worth to try again, in whole seconds. */
  constructor(
    code: ErrorCode,
    message: string,
    options: { field?: string; retryAfterS?: number; cause?: unknown } = {},
  ) {
    const field = options.field === undefined ? {} : { field: options.field };
    const retry = options.retryAfterS === undefined ? {} : { retryAfter: options.retryAfterS };
    const originalError = options.cause instanceof Error ? options.cause : undefined;
    super(message, { extensions: { code, ...field, ...retry }, ...(originalError && { originalError }) });
    this.code = code;
    this.field = options.field;
  }
}

/** The ClientError that a thrown value is, or wraps as GraphQL's execution does. */
export function asClientError(error: unknown): ClientError | undefined {
  if (error instanceof ClientError) return error;
  return error instanceof GraphQLError ? asClientError(error.originalError) : undefined;
}

export const badInput = (message: string, field?: string) =>
  new ClientError('BAD_USER_INPUT', message, field === undefined ? {} : { field });

export const notFound = (what: string, id: string) =>
  new ClientError('NOT_FOUND', `No ${what} has the id ${id}.`, { field: 'id' });

/** `what` says what came, and what is the most. */
export const tooComplex = (what: string) =>
  new ClientError('QUERY_TOO_COMPLEX', `The operation ${what}: ask for less at a time.`);

/**
 * Of a foreign key. Without fields where clients do not know of it. A row that is hidden and one that is not there are told
 * alike: whoever names the fields, by the declaration or by the catalog, has them in one order.
 */
export function nothingHas(fields: readonly string[], cause?: unknown): ClientError {
  const sorted = fields.toSorted();
  const [field] = sorted;
  const what = field === undefined ? 'value' : sorted.join(' with this ');
  const message = `Nothing has this ${what}: it was never there, or is deleted by now.`;
  return new ClientError('NOT_FOUND', message, { ...(field !== undefined && { field }), cause });
}

/** A fault that the operator repairs: printed as one line at start, without a stack. */
export class SetupError extends Error {}
