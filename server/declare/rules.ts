import { ValidateBy, ValidateIf } from 'class-validator';

/** A UUID, in upper or lower case. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** PostgreSQL's text takes every character but U+0000; a lone surrogate is no character, and would come back changed. */
export const isStorable = (text: string) => text.isWellFormed() && !text.includes('\0');

const TIMESTAMP = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;
/** What ISO 8601 has no form for, as PostgreSQL has it: before the year 1 and after 9999. */
const BEYOND = /^(?:(?!0000)(\d{4})|([1-9]\d{4,5}))-(\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d{1,6})?\+00(?<era> BC)?$/;
/** PostgreSQL's calendar begins on 24 November 4714 BC, and ends with this year. */
const LAST_YEAR = 294_276;

/** Every timestamptz that PostgreSQL has, in the form in which it is answered, and nothing else. */
export function isMoment(text: string): boolean {
  if (text === 'infinity' || text === '-infinity') return true;
  return TIMESTAMP.test(text) ? isThere(text.slice(0, 19)) : isBeyond(text);
}

/** A moment as PostgreSQL has it, which leaves out zeros at the end of a fraction. */
export const withoutZeros = (moment: string): string =>
  moment.replace(/(\.\d*?)0+(?=Z|\+)/, (_, kept: string) => (kept === '.' ? '' : kept));

/** 30 February is read as 2 March, so it comes back as another date. */
function isThere(text: string): boolean {
  const date = new Date(`${text}Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

/** The calendar comes again after 400 years; the year before 1 is 1 BC. */
function isBeyond(text: string): boolean {
  const [, early, late, day, time, era] = BEYOND.exec(text) ?? [];
  if ((early === undefined) === (era !== undefined)) return false;
  const year = early === undefined ? Number(late) : 1 - Number(early);
  if (year > LAST_YEAR || year < -4713 || (year === -4713 && day! < '11-24')) return false;
  return isThere(`${(((year % 400) + 400) % 400) + 2000}-${day}T${time}`);
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
const fits = (text: string, least: number, most: number) =>
  text.length <= 2 * most && [...text].length >= least && [...text].length <= most;

/** A rule for what clients give. `told` goes on after the name of the field; a message takes the place of all of that. */
export const rule = (name: string, validate: (value: unknown) => boolean, told: string, message?: string) =>
  ValidateBy(
    { name, validator: { validate, defaultMessage: () => `$property must ${told}` } },
    message === undefined ? undefined : { message },
  );

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
  const isOf = (value: unknown) => typeof value === 'string' && isGood(value) && fits(value, least, most);
  return rule('isText', isOf, `be text of ${length} characters, without ${without}`, message);
}

/** A password that somebody chooses: what passes here can be signed in with. It is counted as it is kept, composed. */
export const IsPassword = (message: string) =>
  rule(
    'isPassword',
    (value) => typeof value === 'string' && isStorable(value) && fits(value.normalize('NFC'), 8, 128),
    'be a password',
    message,
  );

const MOST_PASSWORD = 1024;

/** A password that somebody says is theirs: whether it is, its hash decides. Rules for new ones were others once. */
export const IsAnyPassword = () =>
  rule(
    'isAnyPassword',
    (value) => typeof value === 'string' && value.length >= 1 && value.length <= MOST_PASSWORD,
    `be text of at most ${MOST_PASSWORD} characters`,
  );

/** The key of a row, as its table has them. */
export const IsKeyOf = ({ form, parse }: { form: string; parse: (text: string) => string | undefined }) =>
  rule('isKey', (value) => typeof value === 'string' && parse(value) !== undefined, `be ${form}`);

/** A DateTime, in the form in which they are answered: infinity is one. */
export const IsMoment = () =>
  rule(
    'isMoment',
    (value) => typeof value === 'string' && isMoment(value),
    'be a moment in UTC such as 2026-01-31T12:00:00Z',
  );
