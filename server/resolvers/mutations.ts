import type { Sql, Statement } from '../db/connect.ts';
import type { Confirmed } from '../replication/confirm.ts';
import type { Context } from './context.ts';

export interface Written<Row> {
  /** The written row, as the statement returned it; undefined where there was none to write. */
  row: Row | undefined;
  bookmark: string;
  confirmation: Confirmed;
}

/** Writes on the primary, moves the operation's reads behind the write, and waits for a replica where that is asked for. */
export async function write<Row extends object>(
  context: Context,
  confirm: Confirmed['level'],
  statement: (sql: Sql) => Statement<Row>,
): Promise<Written<Row>> {
  const { rows, lsn } = await context.services.primary.write(statement);
  context.reads.wrote(lsn);
  context.loaders.forget();
  const confirmation = await context.services.confirmer.confirm(lsn, confirm);
  return { row: rows[0], bookmark: context.bookmark(lsn), confirmation };
}
