/**
 * PostgreSQL's `2026-01-31 12:00:00.123456+00`, or jsonb's form of it in whatever time zone its session had, as
 * `2026-01-31T12:00:00.123456Z`.
 */
export function isoTimestamp(text: string): string {
  // As sessions in UTC send it: a page has many.
  if (text.endsWith('+00') && text[10] === ' ') return `${text.slice(0, 10)}T${text.slice(11, -3)}Z`;
  const iso = text.replace(' ', 'T').replace(/\+00(:00)?$/, 'Z');
  return iso.endsWith('Z') ? iso : toUtc(iso);
}

/** Date has milliseconds alone: the fraction is carried over as it is. */
function toUtc(iso: string): string {
  const fraction = /\.\d+/.exec(iso)?.[0] ?? '';
  return `${new Date(iso.replace(fraction, '')).toISOString().slice(0, 19)}${fraction}Z`;
}

/** Microseconds since 1970 of an ISO timestamp in UTC, which Date would cut to milliseconds. */
export function toMicroseconds(iso: string): number {
  const fraction = /\.(\d+)Z$/.exec(iso)?.[1] ?? '';
  const seconds = Math.floor(Date.parse(iso) / 1000);
  return seconds * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6));
}
