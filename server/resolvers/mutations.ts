import type { Sql, Statement } from '../db/connect.ts';
import { assertOwns, visible } from '../access/rights.ts';
import { mayAll } from '../access/viewer.ts';
import { badInput, notFound, nothingHas } from '../lib/errors.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Confirmed } from '../replication/confirm.ts';
import type { Table } from '../store/table.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';

type WithRows<Row extends { id: string }> = Pick<Table<Row, never, never, never>, 'name' | 'one' | 'byIds'>;

/** Whose rows say which tokens are good. */
const USERS = 'users';

export interface Written<Row> {
  /** The written row, as the statement returned it; undefined where there was none to write. */
  row: Row | undefined;
  lsn: Lsn;
  bookmark: string;
  confirmation: Confirmed;
}

/** Writes on the primary, moves the operation's reads behind the write, and waits for a replica where that is asked for. */
export async function write<Row extends object>(
  context: Context,
  confirm: Confirmed['level'],
  statement: (sql: Sql) => Statement<Row>,
): Promise<Written<Row>> {
  await context.services.access.confirm(context.viewer);
  context.signal.throwIfAborted();
  const { rows, lsn } = await context.services.primary.write(statement);
  context.reads.wrote(lsn);
  context.loaders.forget();
  const confirmation = await context.services.confirmer.confirm(lsn, confirm);
  return { row: rows[0], lsn, bookmark: context.bookmark(lsn), confirmation };
}

/**
 * Writes the row that has the id.
 * @throws ClientError NOT_FOUND where no row of the table has it, FORBIDDEN where it is not the viewer's to write.
 */
export async function writeOne<Row extends { id: string }>(
  context: Context,
  confirm: Confirmed['level'],
  table: WithRows<Row>,
  id: string,
  statement: (sql: Sql, id: string) => Statement<Row>,
): Promise<Written<Row>> {
  const key = parseId(id);
  await assertMayWrite(context, table, key);
  const written = await write(context, confirm, (sql) => statement(sql, key));
  if (table.name === USERS) context.services.access.sessions.changed(key, written.lsn);
  if (!written.row) throw notFound(table.one, key);
  return written;
}

/** Rows keep their owners, so what the primary says of one now holds for the write behind it. */
async function assertMayWrite<Row extends { id: string }>(
  { viewer, services }: Context,
  table: WithRows<Row>,
  id: string,
): Promise<void> {
  if (mayAll(viewer)) return;
  const { primary } = services;
  const { rows } = await primary.answer(table.byIds(primary.reader, [id]));
  const row = visible(viewer, table.name, rows[0] ?? null);
  if (!row) throw notFound(table.one, id);
  assertOwns(viewer, table.name, row);
}

/** Tables, by the fields that have the ids of their rows. */
export type Parents = Readonly<Record<string, Pick<Table<{ id: string }, never, never, never>, 'name' | 'byIds'>>>;

/** @throws ClientError NOT_FOUND for a parent that the viewer does not see, as for one that is not there. */
export async function assertSeesParents(
  { viewer, services }: Context,
  parents: Parents,
  values: object,
): Promise<void> {
  if (mayAll(viewer)) return;
  const { primary } = services;
  for (const [field, table] of Object.entries(parents)) {
    const id = (values as Record<string, string | null | undefined>)[field];
    if (id == null) continue;
    const { rows } = await primary.answer(table.byIds(primary.reader, [id]));
    if (!visible(viewer, table.name, rows[0] ?? null)) throw nothingHas(field);
  }
}

/** The fields of an update that the client gave. @throws ClientError BAD_USER_INPUT where there are none. */
export function given<Input extends object>(input: Input): Partial<Input> {
  const fields = defined(input);
  if (Object.keys(fields).length === 0) throw badInput('Nothing to update: give at least one field.', 'input');
  return fields;
}

/** What the client left out stays out, so that it gets its default. */
export const defined = <Input extends object>(input: Input): Partial<Input> =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<Input>;
