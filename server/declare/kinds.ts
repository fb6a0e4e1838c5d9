import { inspect } from 'node:util';
import { GraphQLScalarType } from 'graphql';
import { ID, Int } from 'type-graphql';
import { digitsOf, parseExactly, readExactly } from '../lib/exact-json.ts';
import { formatLsn } from '../lib/lsn.ts';
import { isMoment, isStorable, UUID as UUID_FORM } from './rules.ts';
import {
  BigInt as BigIntType,
  Bytes,
  DateTime,
  Day,
  DECIMAL,
  Decimal,
  Double,
  Interval,
  Json,
  LocalDateTime,
  matching,
  Time,
  TimeTz,
  Uuid,
} from './scalars.ts';
import { isoTimestamp } from '../lib/time.ts';

/** How the values of a column go between PostgreSQL, the rows of the server, and the texts of keys and cursors. */
export interface Kind {
  /** Its type in PostgreSQL where the declaration says no other; '' where that must say it. */
  sql: string;
  /** Selected as this text of the column; left out: the column itself, which the driver hands on exactly. */
  select?: (column: string) => string;
  /** A row's value of what is selected, or of what an image has; left out: it is that. */
  fromText?: (text: string) => unknown;
  fromImage?: (value: unknown) => unknown;
  /** A value as the text of a parameter; left out: the driver makes it. */
  toText?: (value: unknown) => string;
  /** The client's text of a key or in a cursor as PostgreSQL takes it; undefined: there is no such value. */
  parse: (text: string) => string | undefined;
  /** What such a text looks like. */
  form: string;
  /** A row's value is text, and that of the clients. */
  isText?: true;
  isList?: true;
  isJson?: true;
  /** Two of these texts are equal just where PostgreSQL takes their values for equal. */
  isOneText?: true;
  /** JSON may have a form of its own for it, so the change log may have made it text. */
  isMadeText?: boolean;
  /** Numbers in images may lose digits as JavaScript reads them. */
  isLong?: true | undefined;
}

const text = (form: string, parse: Kind['parse'] = (given) => (isStorable(given) ? given : undefined)) => ({
  parse,
  form,
});
/** A number of fewer digits than the greatest, as PostgreSQL writes it, is one of them and stays: most are so. */
function whole(least: bigint, most: bigint): Kind['parse'] {
  const short = new RegExp(`^-?[1-9]\\d{0,${String(most).length - 2}}$`);
  return (given) => {
    if (short.test(given)) return given;
    if (!/^[+-]?\d{1,30}$/.test(given)) return undefined;
    const value = globalThis.BigInt(given);
    return value >= least && value <= most ? String(value) : undefined;
  };
}

const uuid: Kind = {
  sql: 'uuid',
  ...text('a UUID such as 3fa85f64-5717-4562-b3fc-2c963f66afa6', (given) => matching(UUID_FORM)(given)?.toLowerCase()),
  isText: true,
  isOneText: true,
};
const int: Kind = {
  sql: 'integer',
  ...text('a whole number such as 42', whole(-2_147_483_648n, 2_147_483_647n)),
  isOneText: true,
};
const bigint: Kind = {
  sql: 'bigint',
  ...text('a whole number such as 42', whole(-(2n ** 63n), 2n ** 63n - 1n)),
  fromImage: digitsOf,
  isText: true,
  isOneText: true,
  isLong: true,
};
const string: Kind = { sql: 'text', ...text('text without null characters'), fromImage: digitsOf, isText: true };
const boolean: Kind = {
  sql: 'boolean',
  ...text('true or false', matching(/^(?:true|false)$/)),
  toText: String,
};
const decimal: Kind = {
  sql: 'numeric',
  ...text('a number such as 1.50', matching(DECIMAL)),
  fromImage: digitsOf,
  isLong: true,
};
const double: Kind = {
  sql: 'double precision',
  ...text('a number', (given) => (Number.isNaN(Number(given)) && given !== 'NaN' ? undefined : given)),
  // JSON has 1e300 with all of its zeros, and NaN as a text.
  fromImage: (value) => (typeof value === 'number' ? value : Number(digitsOf(value))),
};
const moment: Kind = {
  sql: 'timestamptz',
  ...text('a moment in UTC such as 2026-01-31T12:00:00Z', (given) => (isMoment(given) ? given : undefined)),
  fromImage: (value) => isoTimestamp(value as string),
};
const json: Kind = {
  sql: 'jsonb',
  select: (column) => `${column}::text`,
  fromText: readExactly,
  toText: (value) => JSON.stringify(value),
  ...text('JSON', (given) => (isStorable(given) && jsonIn(given) !== undefined ? given : undefined)),
  isLong: true,
  isJson: true,
};
const bytes: Kind = {
  sql: 'bytea',
  select: (column) => `${column}::text`,
  toText: String,
  ...text('bytes in base64', (given) => Bytes.parseValue(given)),
};

const KINDS = new Map<unknown, Kind>([
  [ID, uuid],
  [Uuid, uuid],
  [Int, int],
  [Number, int],
  [BigIntType, bigint],
  [String, string],
  [Boolean, boolean],
  [Decimal, decimal],
  [Double, double],
  [DateTime, moment],
  [LocalDateTime, { sql: 'timestamp', ...text('a date and time such as 2026-01-31T12:00:00') }],
  [Day, { sql: 'date', ...text('a date such as 2026-01-31') }],
  [Time, { sql: 'time', ...text('a time such as 12:00:00') }],
  [TimeTz, { sql: 'timetz', ...text('a time such as 12:00:00+02') }],
  [Interval, { sql: 'interval', ...text('a length of time such as P1DT12H') }],
  [Json, json],
  [Bytes, bytes],
]);

/** What stands for a type in a declaration: a scalar, the object of an enum, or either in brackets for a list. */
export type DeclaredType = object;

/** @throws Error for what has no form in PostgreSQL. */
export function kindOf(type: DeclaredType): Kind {
  if (Array.isArray(type)) return listOf(kindOf(type[0] as object));
  const known = KINDS.get(type);
  if (known) return known;
  const labels = labelsOf(type);
  if (labels) return enumOf(labels);
  throw new Error(`expected a scalar, an enum or a list of one of them, got: ${inspect(type)}`);
}

/** Of an enum, or of a list of one; undefined: it is none. */
export function labelsOf(type: DeclaredType): string[] | undefined {
  if (Array.isArray(type)) return labelsOf(type[0] as object);
  const labels = KINDS.has(type) ? [] : Object.values(type);
  return labels.length > 0 && labels.every((label) => typeof label === 'string') ? labels : undefined;
}

const enumOf = (labels: readonly string[]): Kind => ({
  sql: '',
  ...text(`one of ${labels.join(', ')}`, (given) => (labels.includes(given) ? given : undefined)),
});

/** PostgreSQL's own text of an array would have to be parsed; as JSON it has the same elements that images have. */
function listOf(element: Kind): Kind {
  const { fromImage = (value) => value } = element;
  const each = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(each) : value === null ? null : fromImage(value);
  return {
    sql: element.sql && `${element.sql}[]`,
    select: (column) => `to_json(${column})::text`,
    fromText: (given) => each(readExactly(given)),
    fromImage: each,
    toText: (list) => arrayText(list as unknown[], element),
    isList: true,
    ...text('a JSON list', (given) => listIn(given, element)),
    isLong: element.isLong,
  };
}

/** Undefined: it is none. */
function jsonIn(given: string): unknown {
  try {
    return parseExactly(given);
  } catch {
    return undefined; // whoever sent it is told so
  }
}

/** The client's text of a list, which is JSON, as that of PostgreSQL's array. */
function listIn(given: string, element: Kind): string | undefined {
  const list = jsonIn(given);
  if (!Array.isArray(list)) return undefined;
  const isWritten = element.isList === true || element.isJson === true;
  const items = list.map((item) =>
    item === null ? null : element.parse(isWritten ? JSON.stringify(item) : digitsOf(item)),
  );
  return items.includes(undefined)
    ? undefined
    : arrayText(items, element.isList ? { toText: String, isList: true } : {});
}

/** A list as the text of PostgreSQL's array. */
export function arrayText(list: readonly unknown[], { toText = digitsOf, isList }: Partial<Kind> = {}): string {
  const item = (value: unknown) => (isList ? toText(value) : `"${toText(value).replace(/["\\]/g, '\\$&')}"`);
  return `{${list.map((value) => (value === null ? 'NULL' : item(value))).join(',')}}`;
}

/** A row's value as clients have it, as one text: lists and JSON as JSON. */
export const clientText = (type: DeclaredType, value: unknown): string =>
  Array.isArray(type) || type === Json ? JSON.stringify(clientValue(type, value)) : String(clientValue(type, value));

function clientValue(type: DeclaredType, value: unknown): unknown {
  if (Array.isArray(type))
    return (value as unknown[]).map((item) => (item === null ? null : clientValue(type[0] as object, item)));
  return type instanceof GraphQLScalarType && type !== ID ? type.serialize(value) : value;
}

/** The form of a column whose type in PostgreSQL is not the usual one. */
export function formOf(type: DeclaredType, sql: string | undefined): Kind {
  const form = kindOf(type);
  if (sql === undefined) return form;
  const isMadeText = type === String && !/^(?:character|text|citext|name|varchar|char)\b/.test(sql);
  return { ...form, sql, isMadeText, ...(isMadeText && { fromText: ownText }) };
}

/** The driver makes a number of an oid, and a position of the server's own of a pg_lsn. */
const ownText = (value: unknown): unknown => (typeof value === 'bigint' ? formatLsn(value) : digitsOf(value));
