import { inspect } from 'node:util';
import { ID, Int } from 'type-graphql';
import { SetupError } from '../lib/errors.ts';
import { isClaim, type Claims, type Clause, type Rule } from './rule.ts';
import { isMoment, isStorable, UUID, withoutZeros } from './rules.ts';
import { labelsOf, type DeclaredType } from './kinds.ts';
import { BigInt as BigIntType, DateTime, Day, Double, Uuid } from './scalars.ts';

interface Column {
  field: string;
  type: () => DeclaredType;
  /** Its type in PostgreSQL. */
  form: { readonly sql: string };
  /** A `reference` is the key of another table's row. */
  kind: string;
}

/** Where a rule stands, and the columns that it may name. */
interface Place {
  rule: string;
  columns: readonly Column[];
}

/** What a column's values are, as rows have them and as PostgreSQL takes them. */
interface Values {
  are: string;
  has: (value: unknown) => boolean;
  /** Which of the viewer's claims it can be compared with. */
  claims?: Partial<Record<string, keyof Claims>>;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown) => typeof value === 'number' && !Number.isNaN(value);

const texts: Values = {
  are: 'a text',
  has: (value) => isText(value) && isStorable(value),
  claims: { eq: 'sub', in: 'roles' },
};
const booleans: Values = { are: 'true or false', has: (value) => typeof value === 'boolean' };
const numbers: Values = { are: 'a number', has: isNumber };
/** In the form in which rows have them: rules compare texts. */
const ids: Values = {
  are: 'a UUID in lower case',
  has: (value) => isText(value) && UUID.test(value) && value === value.toLowerCase(),
  claims: { eq: 'sub' },
};
const wholeNumbers: Values = {
  are: 'a whole number of 32 bits',
  has: (value) => isNumber(value) && value === (Number(value) | 0),
};
const moments: Values = {
  are: 'a moment in UTC as it is answered, such as 2026-01-31T12:00:00Z',
  has: (value) => isText(value) && isMoment(value) && value === withoutZeros(value),
};

const longNumbers: Values = {
  are: 'a whole number as it is answered, such as "42"',
  has: (value) => isText(value) && /^(?:0|-?[1-9]\d*)$/.test(value),
};
const days: Values = {
  are: 'a date as it is answered, such as 2026-01-31',
  has: (value) => isText(value) && /^(?:\d{4,}-\d\d-\d\d(?: BC)?|-?infinity)$/.test(value),
};

/** Those of which equal values have one text, and one number, in rows and in the log. */
const BY_TYPE = new Map<unknown, Values>([
  [String, texts],
  [Boolean, booleans],
  [Number, wholeNumbers],
  [Double, numbers],
  [Int, wholeNumbers],
  [ID, ids],
  [Uuid, ids],
  [BigIntType, longNumbers],
  [DateTime, moments],
  [Day, days],
]);

/** PostgreSQL takes others for equal though they are written otherwise, as citext and char(n) are. */
const PLAIN_TEXT = /^(?:text|varchar|character varying|name)\b/;

/** Undefined: rows, the log and PostgreSQL may differ in what is equal. */
function valuesOf(column: Column): Values | undefined {
  if (column.kind === 'reference') return ids;
  const of = column.type();
  if (of === String && !PLAIN_TEXT.test(column.form.sql)) return undefined;
  const labels = Array.isArray(of) ? undefined : labelsOf(of);
  return labels
    ? { are: `a label of its enum (${labels.join(', ')})`, has: (value) => labels.includes(value as string) }
    : BY_TYPE.get(of);
}

/** @throws SetupError for what PostgreSQL would take otherwise than it was meant, or not at all. */
export function readRule(rule: Rule, place: Place): Clause {
  if (!isObject(rule)) throw expected(place, "an object, as in { authorId: { eq: claim('sub') } }", rule);
  return allOf(Object.entries(rule).flatMap(([name, part]) => readPart(name, part, place)));
}

function readPart(name: string, part: unknown, place: Place): Clause[] {
  switch (name) {
    case 'and':
      return [allOf(readRules(name, part, place))];
    case 'or':
      return [{ kind: 'or', of: readRules(name, part, place) }];
    case 'not':
      return [{ kind: 'not', of: readRule(part as Rule, place) }];
    default:
      return readConditions(name, part, place);
  }
}

function readRules(name: string, part: unknown, place: Place): Clause[] {
  if (!Array.isArray(part)) throw expected(place, `a list of rules for ${name}`, part);
  return part.map((rule: Rule) => readRule(rule, place));
}

/** None at all would be met by every row. */
function readConditions(field: string, part: unknown, place: Place): Clause[] {
  const column = place.columns.find((one) => one.field === field);
  const fields = place.columns.map((one) => one.field).join(', ');
  if (!column) throw expected(place, `and, or, not or a column of it (${fields})`, field);
  if (!isObject(part)) throw expected(place, `an object for ${field}, with eq, in or isNull`, part);
  const conditions = Object.entries(part);
  if (conditions.length === 0) throw expected(place, `eq, in or isNull for ${field}`, {});
  return conditions.map(([operator, value]) => readCondition(column, operator, value, place));
}

function readCondition(column: Column, operator: string, value: unknown, place: Place): Clause {
  const { field } = column;
  if (operator !== 'eq' && operator !== 'in' && operator !== 'isNull')
    throw expected(place, `eq, in or isNull for ${field}`, operator);
  const values = operator === 'isNull' ? booleans : valuesOf(column);
  if (!values)
    throw expected(place, `isNull alone for ${field}: equal values of its type are written in several ways`, operator);
  const { are, has, claims } = values;
  const claimed = claims?.[operator];
  const isOne = operator === 'in' ? Array.isArray(value) && value.every(has) : has(value);
  if (!isOne && !(claimed !== undefined && isClaim(value) && value.claim === claimed)) {
    const each = operator === 'in' ? 'a list of which each is ' : '';
    const orClaim = claimed === undefined ? '' : ` or claim('${claimed}')`;
    throw expected(place, `${field}.${operator} to be ${each}${are}${orClaim}`, value);
  }
  return { kind: operator, field, value } as Clause;
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const allOf = (clauses: readonly Clause[]): Clause =>
  clauses.length === 1 ? clauses[0]! : { kind: 'and', of: clauses };

const expected = ({ rule }: Place, what: string, came: unknown) =>
  new SetupError(`${rule}: expected ${what}, got: ${inspect(came, { breakLength: Infinity })}`);
