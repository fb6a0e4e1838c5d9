/** A position in the primary's write-ahead log, as PostgreSQL's 64-bit pg_lsn. Later is greater. */
export type Lsn = bigint;

const FORM = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i;

/** Each row of a page brings the page's own: the one that was read last is kept. */
let last: { text: string; lsn: Lsn } = { text: '0/0', lsn: 0n };

/** Reads PostgreSQL's text form, `16/B374D848`; throws a RangeError on anything else. */
export function parseLsn(text: string): Lsn {
  if (text !== last.text) last = { text, lsn: parse(text) };
  return last.lsn;
}

function parse(text: string): Lsn {
  const match = FORM.exec(text);
  if (!match) throw new RangeError(`expected an LSN such as 16/B374D848, got: ${text}`);
  return BigInt(`0x${match[1]}${match[2]!.padStart(8, '0')}`);
}

export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

export const later = (a: Lsn, b: Lsn): Lsn => (a > b ? a : b);

/** WAL from the one to the other; 0 where that is not past it. */
export const bytesBetween = (from: Lsn, to: Lsn): number => Number(to > from ? to - from : 0n);
