import { HeaderMap } from '@apollo/server';
import { GraphQLError, isValueNode, Kind, type GraphQLFormattedError } from 'graphql';
import { ArgumentValidationError } from 'type-graphql';
import { asClientError } from '../lib/errors.ts';

/** GraphQL's own codes: the document or its variables are at fault, and the message is about them alone. */
const OWN_CODES = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'OPERATION_RESOLUTION_FAILURE',
  'PERSISTED_QUERY_NOT_FOUND',
  'PERSISTED_QUERY_NOT_SUPPORTED',
  'BAD_USER_INPUT',
  'BAD_REQUEST',
]);

const MASKED = 'Something went wrong on the server: the log has it, under the request id of this answer.';

/** What the client gets of an error: its own faults in full, the server's as one sentence. */
export function maskError(formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError {
  const place = {
    ...(formatted.locations && { locations: formatted.locations }),
    ...(formatted.path && { path: formatted.path }),
  };
  const client = asClientError(error);
  if (client) return { message: client.message, ...place, extensions: { ...client.extensions } };
  if (isTooLong(formatted)) return { message: formatted.message, ...place, extensions: { code: 'QUERY_TOO_COMPLEX' } };
  const invalid = asValidationError(error);
  if (invalid) return { ...describeInvalid(invalid), ...place };
  if (isMistaken(error)) return { message: formatted.message, ...place, extensions: { code: 'BAD_USER_INPUT' } };
  if (isOwn(formatted, error))
    return { message: formatted.message, ...place, extensions: { code: formatted.extensions?.['code'] } };
  return { message: MASKED, ...place, extensions: { code: 'INTERNAL_SERVER_ERROR' } };
}

/** The code of an error that a request failed with, as the client gets it. */
export const codeOf = (error: unknown) =>
  codeIn(maskError(error instanceof GraphQLError ? error.toJSON() : { message: '' }, error));

/** Of an error that was masked. */
export function codeIn({ extensions }: GraphQLFormattedError): string {
  const code = extensions?.['code'];
  return typeof code === 'string' ? code : 'INTERNAL_SERVER_ERROR';
}

/** The parser gave up at the most tokens that a document may have. */
const isTooLong = ({ message, extensions }: GraphQLFormattedError) =>
  extensions?.['code'] === 'GRAPHQL_PARSE_FAILED' && /contains more tha[nt] \d+ tokens/.test(message);

/** True where the log needs it: the client is told nothing of it. */
export function isInternal(error: GraphQLError): boolean {
  return codeOf(error) === 'INTERNAL_SERVER_ERROR';
}

/** An error with such a code was made by GraphQL itself where it wraps none that was thrown below it. */
function isOwn(formatted: GraphQLFormattedError, error: unknown): boolean {
  const own = OWN_CODES.has(String(formatted.extensions?.['code']));
  return (
    own &&
    error instanceof GraphQLError &&
    (error.originalError === undefined || error.originalError instanceof GraphQLError)
  );
}

/** GraphQL found it while it coerced what was sent: its places are values and variables. Its own faults are told of fields. */
function isMistaken(error: unknown): boolean {
  if (!(error instanceof GraphQLError) || error.extensions['code'] !== undefined) return false;
  const { nodes = [] } = error;
  const isOfValues = nodes.every((node) => isValueNode(node) || node.kind === Kind.VARIABLE_DEFINITION);
  return (nodes.length > 0 && isOfValues) || isMistaken(error.originalError);
}

/** True where GraphQL itself has written the message. */
export const isGraphqlsOwn = (error: unknown): boolean => !asClientError(error) && !asValidationError(error);

function asValidationError(error: unknown): ArgumentValidationError | undefined {
  if (error instanceof ArgumentValidationError) return error;
  return error instanceof GraphQLError ? asValidationError(error.originalError) : undefined;
}

/** The first rule that failed, with the field it is about. */
function describeInvalid(error: ArgumentValidationError): GraphQLFormattedError {
  const [first] = (error.extensions['validationErrors'] ?? []) as {
    property: string;
    constraints?: Record<string, string>;
  }[];
  const message = Object.values(first?.constraints ?? {})[0] ?? 'The input is not valid.';
  return { message, extensions: { code: 'BAD_USER_INPUT', field: first?.property } };
}

/** The request failed as a whole: its status says so. */
export function atStatus(error: unknown): unknown {
  const client = asClientError(error);
  if (!client) return error;
  const { retryAfter } = client.extensions;
  const headers = typeof retryAfter === 'number' && new HeaderMap([['retry-after', String(retryAfter)]]);
  const http = { status: statusOf(client.code), ...(headers && { headers }) };
  return new GraphQLError(client.message, { originalError: client, extensions: { ...client.extensions, http } });
}

const STATUS: Record<string, number> = {
  BAD_USER_INPUT: 400,
  BAD_BOOKMARK: 400,
  BAD_CURSOR: 400,
  QUERY_TOO_COMPLEX: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  CURSOR_EXPIRED: 410,
  RATE_LIMITED: 429,
  PRIMARY_UNAVAILABLE: 503,
  REPLICA_UNAVAILABLE: 503,
  TIMEOUT: 504,
};

export const statusOf = (code: string) => STATUS[code] ?? 500;
