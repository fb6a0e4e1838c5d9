import { isTooDeep, LEVELS_MAX } from '../lib/exact-json.ts';
import { rule } from './rules.ts';

/** PostgreSQL writes out what an exponent stands for: 1e131071 is 131,072 digits, wherever the value is sent. */
const DIGITS_MAX = 1_000_000;
/** The most that a numeric has. */
const NUMERIC_DIGITS = 131_072;

/** Outside of JSON's texts, where it is of a number. */
const IN_JSON = /"[^"\\]*(?:\\.[^"\\]*)*"|[eE][+-]?(\d+)/g;
/** Of a number that stands by itself in a list or a range. */
const IN_TEXT = /(?<=^|[[({,"\s])[+-]?(?:\d+\.?\d*|\.\d+)[eE][+-]?(\d+)(?=$|[\])},"\s])/g;

function digitsBy(exponents: RegExp, text: string): number {
  let sum = 0;
  for (const [, exponent = '0'] of text.matchAll(exponents)) sum += Math.min(Number(exponent), NUMERIC_DIGITS);
  return sum;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

/** JSON, and lists of it, that can be read again, and do not grow past all bounds. */
export const IsBoundedJson = () =>
  rule(
    'isBoundedJson',
    (value) => {
      const text = JSON.stringify(value) ?? '';
      return !isTooDeep(text) && digitsBy(IN_JSON, text) <= DIGITS_MAX;
    },
    `not be nested more than ${LEVELS_MAX} levels deep, nor have numbers of more than ${DIGITS_MAX} digits in all`,
  );

/** What else may hold many numbers: lists, ranges. */
export const IsBounded = () =>
  rule(
    'isBounded',
    (value) => digitsBy(IN_TEXT, textOf(value)) <= DIGITS_MAX,
    `not have numbers of more than ${DIGITS_MAX} digits in all`,
  );

/** PostgreSQL's indexes take rows of 2,704 bytes, of which some are for their header and for columns of a few bytes. */
export const INDEXED_BYTES_MAX = 2600;

/** What stands in an index together with other columns: there each has its part of the room. */
export const IsShort = (most: number) =>
  rule(
    'isShort',
    (value) => Buffer.byteLength(textOf(value)) <= most,
    `be at most ${most} bytes long, as it stands in an index`,
  );
