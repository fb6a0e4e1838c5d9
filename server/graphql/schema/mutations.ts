import type { ClassType } from 'type-graphql';
import type { Fragment, Sql, Statement } from '../../database/connect.ts';
import { POLICIES_REFUSE } from '../../database/errors.ts';
import { assertMayWrite, forbidden, mayKnow, showToWriter, visible, writableBy } from '../../auth/rights.ts';
import { mayAll } from '../../auth/viewer.ts';
import { badInput, notFound, nothingHas, type ClientError } from '../../lib/errors.ts';
import type { Lsn } from '../../lib/lsn.ts';
import { rowsOf, type Rows } from '../../reads/rows.ts';
import type { Confirmed } from '../../reads/router.ts';
import { namedBy, parseId } from '../../declare/declaration.ts';
import type { Context } from './context.ts';
import { naming } from './naming.ts';

export interface Written<Row> {
  /** The written row, as the statement returned it; undefined where there was none to write. */
  row: Row | undefined;
  lsn: Lsn;
  bookmark: string;
  confirmation: Confirmed;
}

/** Writes on the primary, moves the operation's reads past the write, and waits for a replica where that is asked for. */
export async function write<Row extends object>(
  context: Context,
  confirm: Confirmed['level'],
  statement: (sql: Sql) => Statement<Row>,
): Promise<Written<Row>> {
  const { access, primary, router } = context.services;
  await access.confirm(context.viewer);
  context.signal.throwIfAborted();
  const { rows, lsn } = await primary.write(statement, (table) => mayKnow(context.viewer, table));
  context.loaders.wrote(lsn);
  const confirmation = await router.confirm(lsn, confirm);
  return { row: rows[0], lsn, bookmark: context.positions.bookmark(lsn), confirmation };
}

/**
 * Writes the row that has the id, as the patch has it or without it: the condition that the statement is handed is true of
 * that row, over alias t, while the viewer may write it, and it has what was looked at before.
 * @throws ClientError NOT_FOUND where no row of the table has it, FORBIDDEN where it is not the viewer's to write.
 */
export async function writeOne<Row extends { id: string }>(
  context: Context,
  confirm: Confirmed['level'],
  rows: Rows<Row>,
  id: string,
  statement: (sql: Sql, only: Fragment) => Statement<Row>,
  patch: object = {},
  look: () => Promise<Partial<Row>> = async () => ({}),
): Promise<Written<Row>> {
  const key = parseId(rows.declaration, id);
  const { table, declaration } = rows;
  const by = writableBy(context.viewer, declaration, patch);
  const attempt = async () => {
    await assertMayWriteRow(context, rows, key, patch);
    const looked = await look();
    return write(context, confirm, (sql) => statement(sql, table.only(sql, key, by, looked)));
  };
  let written = await naming(context, { table, values: patch, id: key }, attempt);
  // Another write came between the look and this one: what is so now is looked at, and once more where it is as it was.
  if (!written.row && by) written = await attempt();
  context.services.access.wrote(table.name, key, written.lsn);
  if (!showToWriter(written.row)) throw await whyNot(context, rows, key);
  return written;
}

/** Row level security hides from who writes what it does not hide from who reads. */
async function whyNot<Row extends { id: string }>(
  { viewer, services: { primary } }: Context,
  { declaration, table }: Rows<Row>,
  id: string,
): Promise<ClientError> {
  const [policies] = await primary.answer(table.isUnderPolicies(primary.writer));
  if (!policies!.is) return notFound(table.one, id);
  const { rows } = await primary.answer(table.byIds(primary.reader, [id]));
  return visible(viewer, declaration, rows[0] ?? null) ? forbidden(POLICIES_REFUSE, 'id') : notFound(table.one, id);
}

/** Says why, where the viewer may not write it. What holds is what the write itself finds. */
async function assertMayWriteRow<Row extends { id: string }>(
  { viewer, services }: Context,
  { declaration, table }: Rows<Row>,
  id: string,
  patch: object,
): Promise<void> {
  if (mayAll(viewer)) return;
  const { primary } = services;
  const { rows } = await primary.answer(table.byIds(primary.reader, [id]));
  const row = visible(viewer, declaration, rows[0] ?? null);
  if (!row) throw notFound(table.one, id);
  assertMayWrite(viewer, declaration, row, patch);
}

/**
 * What of the row the answer depends on: a patch may have some of the columns that name a row.
 * @throws ClientError NOT_FOUND for a row that the values name and the viewer does not see, as for one that is not there.
 */
export async function assertSeesReferences<Row extends { id: string }>(
  { viewer, services }: Context,
  { declaration: { relations }, table }: Rows<Row>,
  values: object,
  id?: string,
): Promise<Partial<Row>> {
  if (mayAll(viewer)) return {};
  const { primary } = services;
  const touched = relations.filter(({ columns }) => columns.some(({ field }) => field in values));
  // Of several columns a patch may change some: with the others of the row they name another one.
  const others = touched.flatMap(({ columns }) => columns.filter(({ field }) => !(field in values)));
  const isOfRow = id !== undefined && others.length > 0;
  const row = isOfRow ? (await primary.answer(table.byIds(primary.reader, [id]))).rows[0] : null;
  for (const relation of touched) {
    const named = namedBy(relation, { ...row, ...values });
    if (!named) continue;
    const { declaration, table: parents } = rowsOf(relation.to() as ClassType<{ id: string }>);
    const look =
      named.id === undefined
        ? parents.byColumns(primary.reader, relation.references(), [named.texts])
        : parents.byIds(primary.reader, [parseId(declaration, named.id)]);
    const { rows } = await primary.answer(look);
    if (!visible(viewer, declaration, rows[0] ?? null)) throw nothingHas(relation.columns.map(({ field }) => field));
  }
  return row ? (Object.fromEntries(others.map(({ field }) => [field, row[field as keyof Row]])) as Partial<Row>) : {};
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
