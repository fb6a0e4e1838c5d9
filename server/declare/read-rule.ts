import { inspect } from 'node:util';
import { Float, ID, Int } from 'type-graphql';
import { SetupError } from '../lib/errors.ts';
import { isClaim, leavesOf, type Claims, type Clause, type Rule } from './rule.ts';
import { isMoment, isStorable, UUID, withoutZeros } from './rules.ts';
import { labelsOf, type DeclaredType } from './kinds.ts';
import { BigInt, DateTime, Double, Uuid } from './scalars.ts';

interface Column {
  field: string;
  type: () => DeclaredType;
  /** A `reference` is the key of another table's row: what it can be is known once all tables are declared. */
  kind: string;
  form?: { sql: string };
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

const bigints: Values = {
  are: 'a whole number as a text, as it is answered, such as 42',
  has: (value) => isText(value) && /^(?:0|-?[1-9]\d{0,18})$/.test(value),
};

const BY_TYPE = new Map<unknown, Values>([
  [String, texts],
  [Boolean, booleans],
  [Number, wholeNumbers],
  [Float, numbers],
  [Double, numbers],
  [Int, wholeNumbers],
  [BigInt, bigints],
  [ID, ids],
  [Uuid, ids],
  [DateTime, moments],
]);

/** Types of text in which equal values are equal texts. */
const PLAIN_TEXT = /^(?:text|varchar|character varying|name)\b/;

/** Undefined: PostgreSQL takes several texts for one value, as 1.0 and 1.00, or Ada and ADA: rules know values by their texts. */
function valuesOf(column: Column): Values | undefined {
  const declared = column.type();
  if (declared === String && column.form && !PLAIN_TEXT.test(column.form.sql)) return undefined;
  const labels = labelsOf(declared);
  return (
    BY_TYPE.get(declared) ??
    (labels && !Array.isArray(declared)
      ? { are: 'a label of its enum', has: (value) => labels.includes(value as string) }
      : undefined)
  );
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
  if (column.kind !== 'reference' || operator === 'isNull') checkCondition(column, operator, value, place);
  return { kind: operator, field, value } as Clause;
}

/** Looks at what the rule compares these columns with. @throws SetupError for what they cannot be. */
export function checkRule(clause: Clause, place: Place): void {
  for (const { kind, field, value } of leavesOf(clause)) {
    const column = place.columns.find((one) => one.field === field);
    if (column) checkCondition(column, kind, value, place);
  }
}

function checkCondition(column: Column, operator: 'eq' | 'in' | 'isNull', value: unknown, place: Place): void {
  const { field } = column;
  const values = operator === 'isNull' ? booleans : valuesOf(column);
  if (!values)
    throw expected(place, `isNull alone for ${field}, as several texts of its type stand for one value`, operator);
  const { are, has, claims } = values;
  const claimed = claims?.[operator];
  const isOne = operator === 'in' ? Array.isArray(value) && value.every(has) : has(value);
  if (!isOne && !(claimed !== undefined && isClaim(value) && value.claim === claimed)) {
    const each = operator === 'in' ? 'a list of which each is ' : '';
    const orClaim = claimed === undefined ? '' : ` or claim('${claimed}')`;
    throw expected(place, `${field}.${operator} to be ${each}${are}${orClaim}`, value);
  }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const allOf = (clauses: readonly Clause[]): Clause =>
  clauses.length === 1 ? clauses[0]! : { kind: 'and', of: clauses };

const expected = ({ rule }: Place, what: string, came: unknown) =>
  new SetupError(`${rule}: expected ${what}, got: ${inspect(came, { breakLength: Infinity })}`);
