/** A timestamptz as sessions send it, and as jsonb has it; offsets of long ago have seconds. */
const FORM =
  /^(\d{4,6})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d{1,6})?([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?(?: (BC))?$/;

/**
 * PostgreSQL's `2026-01-31 12:00:00.123456+00`, or jsonb's form of it in whatever time zone its session had, as
 * `2026-01-31T12:00:00.123456Z`. What ISO 8601 has no form for is as a session in UTC has it: `infinity`, `-infinity`,
 * `0044-03-15 00:00:00+00 BC`, `10000-01-01 00:00:00+00`. Never throws: what it does not know stays as it is.
 */
export function isoTimestamp(text: string): string {
  // As sessions in UTC send it: a page has many.
  if (text.endsWith('+00') && text[10] === ' ') return `${text.slice(0, 10)}T${text.slice(11, -3)}Z`;
  if (text.endsWith('+00:00') && text[10] === 'T') return `${text.slice(0, -6)}Z`;
  const parts = FORM.exec(text);
  return parts ? inUtc(parts) : text;
}

/** The calendar comes again after 400 years: the date is worked out in the years that Date surely has, and moved back. */
function inUtc([, digits, month, day, hours, minutes, seconds, fraction = '', sign, ...rest]: RegExpExecArray): string {
  const [offsetHours, offsetMinutes = 0, offsetSeconds = 0, era] = rest;
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 + Number(offsetSeconds);
  // Before the year 1 there is the year 1 BC, which is 0 here.
  const year = era === undefined ? Number(digits) : 1 - Number(digits);
  const moved = (Math.floor(year / 400) - 5) * 400;
  const local = Date.UTC(year - moved, Number(month) - 1, Number(day), Number(hours), Number(minutes), Number(seconds));
  const utc = new Date(local - (sign === '-' ? -offset : offset) * 1000);
  const [date, time] = utc.toISOString().slice(5, 19).split('T');
  return render(utc.getUTCFullYear() + moved, date!, `${time}${fraction}`);
}

function render(year: number, date: string, time: string): string {
  const day = `${String(year > 0 ? year : 1 - year).padStart(4, '0')}-${date}`;
  if (year >= 1 && year <= 9999) return `${day}T${time}Z`;
  return `${day} ${time}+00${year < 1 ? ' BC' : ''}`;
}

/** Microseconds since 1970 of an ISO timestamp in UTC, which Date would cut to milliseconds; NaN of what is none, such as `infinity`. */
export function toMicroseconds(iso: string): number {
  const fraction = /\.(\d+)Z$/.exec(iso)?.[1] ?? '';
  const seconds = Math.floor(Date.parse(iso) / 1000);
  return seconds * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6));
}

const INTERVAL =
  /^(?:(-?\d+) years? ?)?(?:(-?\d+) mons? ?)?(?:(-?\d+) days? ?)?(?:([+-])?(\d+):(\d\d):(\d\d)(\.\d+)?)?$/;

/** PostgreSQL's `1 year 2 mons -3 days +04:05:06.789` as `P1Y2M-3DT4H5M6.789S`; what it does not know stays as it is. */
export function isoInterval(text: string): string {
  const parts = INTERVAL.exec(text.replaceAll('+', ''));
  if (!parts || text === '') return text;
  const [years, months, days, sign = '', hours = '0', minutes = '0', seconds = '0', fraction = ''] = parts.slice(1);
  const of = (value: string, unit: string) => (/^-?0*$/.test(value) ? '' : `${sign}${Number(value)}${unit}`);
  const second = /[1-9]/.test(seconds + fraction) ? `${sign}${Number(seconds)}${fraction}S` : '';
  const time = `${of(hours, 'H')}${of(minutes, 'M')}${second}`;
  const date = `${years ? `${years}Y` : ''}${months ? `${months}M` : ''}${days ? `${days}D` : ''}`;
  return date === '' && time === '' ? 'PT0S' : `P${date}${time === '' ? '' : `T${time}`}`;
}
