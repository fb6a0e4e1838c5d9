import {
  GraphQLError,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  isValueNode,
  Kind,
  type GraphQLFormattedError,
  type GraphQLNamedType,
  type GraphQLSchema,
} from 'graphql';
import { ArgumentValidationError } from 'type-graphql';
import { asClientError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Via } from '../lib/observer.ts';

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

const INTERNAL = 'INTERNAL_SERVER_ERROR';
const MASKED = 'Something went wrong on the server: the log has it, under the request id of this answer.';

/** Whose errors they are. */
interface Told {
  of: 'operation' | 'subscription';
  requestId: string;
  via: Via;
  /** Its document. */
  text: string;
}

/** Errors as clients get them; what they are not told of, the log has. */
export class Masking {
  readonly #log: Logger;
  readonly #hide: Hide | undefined;
  /** What ends many subscriptions at once is logged once. */
  readonly #logged = new WeakSet<Error>();

  /** `hide` is undefined where clients may ask for the schema. */
  constructor(log: Logger, hide: Hide | undefined) {
    this.#log = log;
    this.#hide = hide;
  }

  mask(errors: readonly unknown[], told: Told): GraphQLFormattedError[] {
    return errors.map((error) => this.#mask(asGraphqlError(error), told));
  }

  #mask(error: GraphQLError, { of, requestId, via, text }: Told): GraphQLFormattedError {
    const masked = maskError(error.toJSON(), error);
    if (codeIn(masked) === INTERNAL) {
      const err = error.originalError ?? error;
      if (of === 'operation' || !this.#logged.has(err)) this.#log.error({ err, requestId }, `${of} failed`);
      if (of === 'subscription') this.#logged.add(err);
      return masked;
    }
    // Our own errors say nothing of the schema.
    if (!this.#hide || !isGraphqlsOwn(error)) return masked;
    return { ...masked, message: this.#hide(masked.message, text, via) };
  }
}

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
  return { message: MASKED, ...place, extensions: { code: INTERNAL } };
}

/** The code of an error that a request failed with, as the client gets it. */
export const codeOf = (error: unknown) =>
  codeIn(maskError(error instanceof GraphQLError ? error.toJSON() : { message: '' }, error));

/** Of an error that was masked. */
export function codeIn({ extensions }: GraphQLFormattedError): string {
  const code = extensions?.['code'];
  return typeof code === 'string' ? code : INTERNAL;
}

export function asGraphqlError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  const originalError = error instanceof Error ? error : new Error(String(error));
  return new GraphQLError(originalError.message, { originalError });
}

/** The parser gave up at the most tokens that a document may have. */
const isTooLong = ({ message, extensions }: GraphQLFormattedError) =>
  extensions?.['code'] === 'GRAPHQL_PARSE_FAILED' && /contains more tha[nt] \d+ tokens/.test(message);

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
const isGraphqlsOwn = (error: unknown): boolean => !asClientError(error) && !asValidationError(error);

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

const STATUS: Record<string, number> = {
  GRAPHQL_PARSE_FAILED: 400,
  GRAPHQL_VALIDATION_FAILED: 400,
  OPERATION_RESOLUTION_FAILURE: 400,
  BAD_REQUEST: 400,
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

/** Makes messages of GraphQL's own fit for who may not ask for the schema. */
export type Hide = (message: string, sent: string, via: Via) => string;

const WORD = /[_A-Za-z][_0-9A-Za-z]*/g;
/** Words of the messages themselves: that the schema has them too says nothing. */
const USUAL = new Set(['argument', 'field', 'fields', 'input', 'name', 'object', 'operation', 'type', 'value']);

/** Names of the schema that the document does not have are left out, wherever they stand: what clients send is quoted, too. */
export function hidingNames(schema: GraphQLSchema): Hide {
  const types = Object.values(schema.getTypeMap()).filter(
    (type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type),
  );
  const typeNames = new Set(types.map(({ name }) => name));
  const allNames = new Set([...typeNames, ...types.flatMap(namesIn)].filter((name) => !USUAL.has(name)));
  return (message, sent, via) => {
    // REST's fields are documented, and in no document that its clients send.
    const names = via === 'rest' ? typeNames : allNames;
    const known = new Set(sent.match(WORD));
    return message
      .replace(/ Did you mean .*\?/s, '')
      .replace(WORD, (word) => (names.has(word) && !known.has(word) ? '…' : word));
  };
}

function namesIn(type: GraphQLNamedType): string[] {
  if (isEnumType(type)) return type.getValues().map(({ name }) => name);
  if (isInputObjectType(type)) return Object.keys(type.getFields());
  if (!isObjectType(type) && !isInterfaceType(type)) return [];
  return Object.values(type.getFields()).flatMap(({ name, args }) => [name, ...args.map((arg) => arg.name)]);
}
