import { GraphQLError, GraphQLScalarType, Kind, valueFromASTUntyped, type ValueNode } from 'graphql';
import { digitsOf, isRawNumber, rawNumber } from '../lib/exact-json.ts';
import { isoInterval } from '../lib/time.ts';
import { UUID } from './rules.ts';

interface TextForm {
  /** A row's value as the client's text; left out: it is that. */
  toClient?: (value: string) => string;
  /** The client's text as PostgreSQL's; undefined: it is none. Left out: what it means is checked where it is used. */
  toServer?: (text: string) => string | undefined;
  /** Literals and JSON numbers are taken, too. */
  takesNumbers?: boolean;
}

const SAME = (text: string) => text;

function textScalar(name: string, description: string, form: TextForm = {}): GraphQLScalarType<string, string> {
  const { toClient = SAME, toServer = SAME, takesNumbers = false } = form;
  const parse = (value: unknown): string => {
    const text = takesNumbers && (typeof value === 'number' || isRawNumber(value)) ? digitsOf(value) : value;
    const parsed = typeof text === 'string' ? toServer(text) : undefined;
    if (parsed !== undefined) return parsed;
    const expected = toServer === SAME ? 'a string' : description.charAt(0).toLowerCase() + description.slice(1);
    throw new GraphQLError(`${name} must be ${expected}, got: ${JSON.stringify(value)?.slice(0, 60)}`, {
      extensions: { code: 'BAD_USER_INPUT' },
    });
  };
  return new GraphQLScalarType<string, string>({
    name,
    description,
    serialize: (value) => toClient(typeof value === 'string' ? value : digitsOf(value)),
    parseValue: parse,
    parseLiteral: (node) =>
      parse(
        node.kind === Kind.STRING || (takesNumbers && (node.kind === Kind.INT || node.kind === Kind.FLOAT))
          ? node.value
          : undefined,
      ),
  });
}

export const matching = (form: RegExp) => (text: string) => (form.test(text) ? text : undefined);

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

export const Uuid = textScalar('UUID', 'A UUID such as 3fa85f64-5717-4562-b3fc-2c963f66afa6', {
  toServer: (text) => matching(UUID)(text)?.toLowerCase(),
});

export const BigInt = textScalar('BigInt', 'A whole number of any length, as a string', {
  toServer: matching(/^[+-]?\d{1,131072}$/),
  takesNumbers: true,
});

export const DECIMAL = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6})?|NaN|[+-]?Infinity)$/;

export const Decimal = textScalar(
  'Decimal',
  'A decimal number with all its digits, as a string; besides: "NaN", "Infinity", "-Infinity"',
  {
    toServer: matching(DECIMAL),
    takesNumbers: true,
  },
);

const DAY_AND_TIME = /^(\d+-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)( BC)?$/;

/** Sessions send it with a space, images have it with a T, also where ISO 8601 has no form for it. */
function isoLocal(text: string): string {
  const [, day, time, era] = DAY_AND_TIME.exec(text) ?? [];
  if (day === undefined) return text;
  return day.length === 10 && era === undefined ? `${day}T${time}` : `${day} ${time}${era ?? ''}`;
}

export const LocalDateTime = textScalar(
  'LocalDateTime',
  'A date and time without a zone, in ISO 8601 with microseconds: 2026-01-31T12:00:00.123456; else as PostgreSQL has it: infinity, 0044-03-15 00:00:00 BC',
  { toClient: isoLocal },
);

export const Day = textScalar('Date', 'A date: 2026-01-31; else as PostgreSQL has it: infinity, 0044-03-15 BC');

export const Time = textScalar('Time', 'A time of day: 12:00:00.123456');

export const TimeTz = textScalar('TimeTz', 'A time of day with its offset: 12:00:00.123456+02');

export const Interval = textScalar('Interval', 'A length of time in ISO 8601: P1Y2M3DT4H5M6.789S', {
  toClient: isoInterval,
});

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export const Bytes = textScalar('Bytes', 'Bytes in base64', {
  toClient: (hex) => Buffer.from(hex.slice(2), 'hex').toString('base64'),
  toServer: (text) => (BASE64.test(text) ? `\\x${Buffer.from(text, 'base64').toString('hex')}` : undefined),
});

export const Json = new GraphQLScalarType<unknown, unknown>({
  name: 'JSON',
  description: 'Any JSON value; its numbers keep all their digits',
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: jsonOf,
});

function jsonOf(node: ValueNode, variables?: Record<string, unknown> | null): unknown {
  if (node.kind === Kind.INT || node.kind === Kind.FLOAT) return rawNumber(node.value);
  if (node.kind === Kind.LIST) return node.values.map((one) => jsonOf(one, variables));
  if (node.kind === Kind.OBJECT)
    return Object.fromEntries(node.fields.map(({ name, value }) => [name.value, jsonOf(value, variables)]));
  return valueFromASTUntyped(node, variables);
}
