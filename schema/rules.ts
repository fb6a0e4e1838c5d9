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

const fits = (text: string, least: number, most: number) =>
  text.length <= 2 * most && [...text].length >= least && [...text].length <= most;

/** Storable text, its length counted as PostgreSQL counts it, in code points: what passes here fits varchar(most). */
export function IsText(least: number, most: number, message?: string): PropertyDecorator {
  const length = least === 0 ? `at most ${most}` : `${least} to ${most}`;
  return ValidateBy(
    {
      name: 'isText',
      validator: {
        validate: (value) => typeof value === 'string' && isStorable(value) && fits(value, least, most),
        defaultMessage: () =>
          `$property must be text of ${length} characters, without null characters or lone surrogates`,
      },
    },
    message === undefined ? undefined : { message },
  );
}

/** A password that somebody chooses: what passes here can be signed in with. It is counted as it is kept, composed. */
export const IsPassword = (message: string) =>
  ValidateBy(
    {
      name: 'isPassword',
      validator: {
        validate: (value) => typeof value === 'string' && isStorable(value) && fits(value.normalize('NFC'), 8, 128),
      },
    },
    { message },
  );

/** A password that somebody says is theirs: whether it is, its hash decides. Rules for new ones were others once. */
export const IsAnyPassword = () =>
  ValidateBy({
    name: 'isAnyPassword',
    validator: {
      validate: (value) => typeof value === 'string' && value.length >= 1 && value.length <= MOST_PASSWORD,
      defaultMessage: () => `$property must be text of at most ${MOST_PASSWORD} characters`,
    },
  });

const MOST_PASSWORD = 1024;

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
