import { GraphQLError, GraphQLScalarType, Kind } from 'graphql';

/** A scalar of GraphQL, or one of JavaScript's classes that stand for one. */
export type Scalar = () => GraphQLScalarType | StringConstructor | BooleanConstructor | NumberConstructor;

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
  'A moment in UTC, in ISO 8601 with microseconds: 2026-01-31T12:00:00.123456Z. What that has no form for is as PostgreSQL has it: infinity, -infinity, 0044-03-15 00:00:00+00 BC, 10000-01-01 00:00:00+00',
);
export const Bookmark = textScalar(
  'Bookmark',
  "Opaque: a position in the primary's write-ahead log. A read that carries it sees at least what was written up to there",
);
export const Cursor = textScalar('Cursor', 'Opaque: a position in the change feed, good on every replica');

const NO_NUMBERS: ReadonlyMap<string, number> = new Map([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
]);

/** JSON, in which these are the texts that stand for them: PostgreSQL takes those as well, and each is told from null. */
export const exactJson = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'number' && !Number.isFinite(part) ? String(part) : part,
  );

/** Of a double precision: JSON has no form for these three, so they go as PostgreSQL's text. */
function toDouble(value: unknown): number {
  const number = typeof value === 'string' ? NO_NUMBERS.get(value) : value;
  if (typeof number === 'number') return number;
  throw new GraphQLError(`Double must be a number, NaN, Infinity or -Infinity, got: ${JSON.stringify(value)}`, {
    extensions: { code: 'BAD_USER_INPUT' },
  });
}

export const Double = new GraphQLScalarType<number, number | string>({
  name: 'Double',
  description: 'A number of double precision; as strings besides: "NaN", "Infinity", "-Infinity"',
  serialize(value) {
    const number = toDouble(value);
    return Number.isFinite(number) ? number : String(number);
  },
  parseValue: toDouble,
  parseLiteral: (node) =>
    toDouble(
      node.kind === Kind.INT || node.kind === Kind.FLOAT
        ? Number(node.value)
        : 'value' in node
          ? node.value
          : undefined,
    ),
});
