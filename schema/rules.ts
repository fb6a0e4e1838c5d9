import { Matches, ValidateBy, ValidateIf } from 'class-validator';

/** A UUID, in upper or lower case. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** PostgreSQL's text takes every character but U+0000; a lone surrogate is no character, and would come back changed. */
export const isStorable = (text: string) => text.isWellFormed() && !text.includes('\0');

const TIMESTAMP = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;

/** 30 February is read as 2 March, so it comes back as another date. */
export function isMoment(text: string): boolean {
  const date = TIMESTAMP.test(text) ? new Date(text) : undefined;
  return date !== undefined && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text.slice(0, 19));
}

/** Checks run where a value is given, null included. */
export const WhereGiven = () => ValidateIf((_, value) => value !== undefined);
/** Checks run where there is a value: null is one of its own. */
export const WhereNotNull = () => ValidateIf((_, value) => value != null);

/**
 * Control characters, line breaks, and what turns the direction of text: beside other text, a line that has one shows
 * what is not there, as a name that reads like another's.
 */
const NOT_OF_A_LINE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

/** Storable text, its length counted as PostgreSQL counts it, in code points: what passes here fits varchar(most). */
export const IsText = (least: number, most: number, message?: string) =>
  textRule(least, most, isStorable, 'null characters or lone surrogates', message);

/** Text of one line, such as a name or a title, that others see among text of their own. */
export const IsLine = (least: number, most: number, message?: string) =>
  textRule(
    least,
    most,
    (text) => isStorable(text) && !NOT_OF_A_LINE.test(text),
    'control characters, line breaks, marks of direction or lone surrogates',
    message,
  );

function textRule(
  least: number,
  most: number,
  isGood: (text: string) => boolean,
  without: string,
  message: string | undefined,
): PropertyDecorator {
  const length = least === 0 ? `at most ${most}` : `${least} to ${most}`;
  const fits = (text: string) => text.length <= 2 * most && [...text].length >= least && [...text].length <= most;
  return ValidateBy(
    {
      name: 'isText',
      validator: {
        validate: (value) => typeof value === 'string' && isGood(value) && fits(value),
        defaultMessage: () => `$property must be text of ${length} characters, without ${without}`,
      },
    },
    message === undefined ? undefined : { message },
  );
}

/** The id of a row. */
export const IsId = () =>
  Matches(UUID, { message: '$property must be a UUID such as 3fa85f64-5717-4562-b3fc-2c963f66afa6' });

/** A DateTime, in the form in which they are answered. */
export const IsMoment = () =>
  ValidateBy({
    name: 'isMoment',
    validator: {
      validate: (value) => typeof value === 'string' && isMoment(value),
      defaultMessage: () => '$property must be a moment in UTC such as 2026-01-31T12:00:00Z',
    },
  });
