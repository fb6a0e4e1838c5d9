import { withBehind } from '../database/behind.ts';
import type { Sql, Statement } from '../database/connect.ts';
import type { Lsn } from '../lib/lsn.ts';

interface Place {
  flushed: Lsn;
  /** As the name of a WAL file begins. */
  timeline: string;
}

export interface Written<Row> extends Place {
  rows: readonly Row[];
}

/** So many writes go over one connection at once, where all are taken: they wait for each other's locks. */
export const WRITES_TOGETHER = 4;

/** Each has the question for its position after it; the driver counts what waits for the one that runs. */
export const WRITES_PIPELINE = 2 * WRITES_TOGETHER - 1;

/** A writing statement, a transaction of its own, with the flushed position at or past its commit. */
export async function write<Row extends object>(writer: Sql, statement: Statement<Row>): Promise<Written<Row>> {
  const [rows, [place]] = await withBehind(writer, statement, positionOf);
  return { rows, ...place! };
}

const positionOf = (sql: Sql) => sql<Place[]>`
  select flushed, left(pg_walfile_name(flushed), 8) as timeline from pg_current_wal_flush_lsn() as flushed`;
