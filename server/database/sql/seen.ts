import type { Lsn } from '../../lib/lsn.ts';

/**
 * What a read returned, with a position at or after everything that it could see. Reads select `seen` in the same
 * statement, from a function scan that yields a row even where no data row is found: an absence is seen, too.
 */
export interface Seen<Row> {
  rows: Row[];
  seen: Lsn;
}

export type WithSeen<Row> = (Row & { seen: Lsn }) | ({ [K in keyof Row]: null } & { seen: Lsn });

/** Splits the position off the rows; `key` is a column that no data row has as null. */
export function split<Row extends object>(result: readonly WithSeen<Row>[], key: keyof Row): Seen<Row> {
  const rows = result.filter((row) => row[key] !== null) as (Row & { seen: Lsn })[];
  return { rows, seen: result[0]?.seen ?? 0n };
}
