import type { Lsn } from './lsn.ts';

/**
 * A place in the change feed, the same on every replica: after the first `place` changes of the transaction that
 * follows `lsn` on the primary, and after all of every earlier one. With 0, after nothing but what ended by `lsn`.
 */
export interface Position {
  lsn: Lsn;
  place: number;
}

/** Negative, 0 or positive: `a` is before, at or past `b`. */
export function comparePositions(a: Position, b: Position): number {
  if (a.lsn !== b.lsn) return a.lsn < b.lsn ? -1 : 1;
  return a.place - b.place;
}

export const latest = (a: Position, b: Position): Position => (comparePositions(a, b) >= 0 ? a : b);
