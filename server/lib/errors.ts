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

/** Of a foreign key. Without a field where clients do not know of it. */
export const nothingHas = (field: string | undefined, cause?: unknown) =>
  new ClientError('NOT_FOUND', `Nothing has this ${field ?? 'value'}: it was never there, or is deleted by now.`, {
    ...(field !== undefined && { field }),
    cause,
  });

/** A fault that the operator repairs: printed as one line at start, without a stack. */
export class SetupError extends Error {}
