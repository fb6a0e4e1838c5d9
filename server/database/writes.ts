import type { Lsn } from '../lib/lsn.ts';
import type { Sql, Statement } from './connect.ts';
import { observedOnHeld } from './statements.ts';

interface Place {
  flushed: Lsn;
  /** As the name of a WAL file begins. */
  timeline: string;
}

export interface Written<Row> extends Place {
  rows: readonly Row[];
}

/** The write is done, and it is not known where: `cause` says why. */
export class PlaceUnknown extends Error {}

/** So many writes go over one connection at once, where all are taken: they wait for each other's locks. */
export const WRITES_TOGETHER = 4;

/** Each has the question for its position after it; the driver counts what waits for the one that runs. */
export const WRITES_PIPELINE = 2 * WRITES_TOGETHER - 1;

/** A writing statement, a transaction of its own, with the flushed position at or past its commit. */
export async function write<Row extends object>(writer: Sql, statement: Statement<Row>): Promise<Written<Row>> {
  const [rows, [place]] = await withNext(writer, statement, positionOf);
  return { rows, ...place! };
}

const positionOf = (sql: Sql) => sql<Place[]>`
  select flushed, left(pg_walfile_name(flushed), 8) as timeline from pg_current_wal_flush_lsn() as flushed`;

/** The driver's, as of `behind`: see infra/patches. */
interface DriverStatement {
  options: { behind?: (connection: { execute: (statement: unknown) => void }) => void };
}

/**
 * The rows of a statement, and those of another one that goes right after it over the same connection. Each has a Sync
 * of its own: the second runs when the first has committed, and fails or not by itself. A first one that is sent again, as
 * its plan is gone, has another second one after it.
 * @throws PostgresError of the first; PlaceUnknown where the second fails, and the first has not.
 */
async function withNext<First extends object, Second extends object>(
  sql: Sql,
  first: Statement<First>,
  second: (sql: Sql) => Statement<Second>,
): Promise<[readonly First[], readonly Second[]]> {
  const make = () => observedOnHeld(sql, second(sql));
  // Made here, in the caller's context, which traces know it by.
  const made = make();
  let sent: Statement<Second> | undefined;
  (first as unknown as DriverStatement).options.behind = (connection) => {
    sent = sent ? make() : made;
    void sent.catch(() => {}); // the first says why
    connection.execute(sent);
  };
  const rows = await first;
  return [
    rows,
    await sent!.catch((cause: unknown) => Promise.reject(new PlaceUnknown('the second failed', { cause }))),
  ];
}
