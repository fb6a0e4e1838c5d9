import { GraphQLError, GraphQLScalarType, Kind } from 'graphql';

/** Text in, the same text out: what the text means is checked where it is used. */
function textScalar(name: string, description: string): GraphQLScalarType<string, string> {
  const parse = (value: unknown): string => {
    if (typeof value === 'string') return value;
    throw new GraphQLError(`${name} must be a string, got: ${JSON.stringify(value)}`, {
      extensions: { code: 'BAD_USER_INPUT' },
    });
  };
  return new GraphQLScalarType<string, string>({
    name,
    description,
    serialize: parse,
    parseValue: parse,
    parseLiteral: (node) => parse(node.kind === Kind.STRING ? node.value : undefined),
  });
}

export const DateTime = textScalar(
  'DateTime',
  'A moment in UTC, in ISO 8601 with microseconds: 2026-01-31T12:00:00.123456Z',
);
export const Bookmark = textScalar(
  'Bookmark',
  "Opaque: a position in the primary's write-ahead log. A read that carries it sees at least what was written up to there",
);
export const Cursor = textScalar('Cursor', 'Opaque: a position in the change feed, good on every replica');
