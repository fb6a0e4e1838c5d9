import {
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  type GraphQLFormattedError,
  type GraphQLNamedType,
  type GraphQLSchema,
} from 'graphql';
import type { Via } from '../lib/observer.ts';
import { codeIn, isGraphqlsOwn } from './masking.ts';

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

/** Of an error as a client gets it, and what it came from. What was masked says nothing of the schema, nor do our own errors. */
export function withoutNames(
  hide: Hide,
  error: GraphQLFormattedError,
  cause: unknown,
  sent: string,
  via: Via,
): GraphQLFormattedError {
  if (codeIn(error) === 'INTERNAL_SERVER_ERROR' || !isGraphqlsOwn(cause)) return error;
  return { ...error, message: hide(error.message, sent, via) };
}

function namesIn(type: GraphQLNamedType): string[] {
  if (isEnumType(type)) return type.getValues().map(({ name }) => name);
  if (isInputObjectType(type)) return Object.keys(type.getFields());
  if (!isObjectType(type) && !isInterfaceType(type)) return [];
  return Object.values(type.getFields()).flatMap(({ name, args }) => [name, ...args.map((arg) => arg.name)]);
}
