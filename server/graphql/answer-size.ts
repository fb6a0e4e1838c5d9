import { locatedError, type FormattedExecutionResult } from 'graphql';
import { tooComplex } from '../lib/errors.ts';

/** What stands around a value, and a value that is no text: a number, true, null. */
const [AROUND, SHORT] = [4, 5];

/** About how many characters a value has as JSON, without making them; of more than `most` it is not told how many more. */
export function charactersOf(value: unknown, most: number): number {
  if (typeof value === 'string') return value.length + AROUND;
  if (typeof value !== 'object' || value === null) return SHORT;
  let sum = 0;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length && sum <= most; at++) sum += charactersOf(value[at], most - sum);
    return sum;
  }
  for (const name in value) {
    sum += name.length + AROUND + charactersOf((value as Readonly<Record<string, unknown>>)[name], most - sum);
    if (sum > most) break;
  }
  return sum;
}

/** Fields of an event: the rows of a change, or of a snapshot, are the objects among them, and may be null. */
type Fields = Readonly<Record<string, unknown>>;

const isRow = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** An event that is too long to be sent, without its rows: these are told as errors of their fields. */
export function withoutRows({ data, errors = [] }: FormattedExecutionResult, most: number): FormattedExecutionResult {
  const fault = tooComplex(`has an event of more than ${most} characters, which are the most in an answer`);
  const events = Object.entries((data ?? {}) as Record<string, Fields>).map(
    ([name, event]) => [name, Object.entries(event)] as const,
  );
  const shown = events.map(([name, fields]) => [
    name,
    Object.fromEntries(fields.map(([field, value]) => [field, isRow(value) ? null : value])),
  ]);
  const left = events.flatMap(([name, fields]) =>
    fields.flatMap(([field, value]) => (isRow(value) ? [[name, field]] : [])),
  );
  return {
    data: data && (Object.fromEntries(shown) as typeof data),
    errors: [...errors, ...left.map((path) => locatedError(fault, undefined, path).toJSON())],
  };
}
