import type { Sql } from '../database/connect.ts';
import type { ColumnShape, TableShape } from './shapes.ts';

/** A column that the publication sends from now on, of a table that the replicas hold already. */
interface NewColumn {
  table: string;
  column: ColumnShape;
  /** The statement that added the column was in this transaction. */
  isAdded: boolean;
  /** A statement of this transaction has written the whole table again, which replication does not see. */
  isRewritten: boolean;
}

/**
 * The columns that replication begins to send with this transaction. Rows that are there already are not sent again:
 * on both sides they must hold the same in such a column, whatever each side's `alter table` put there.
 */
export function newColumns(existing: TableShape[], before: TableShape[], after: TableShape[]): NewColumn[] {
  return after.flatMap(({ table, file, columns }) => {
    const sent = before.find((other) => other.table === table);
    const whole = existing.find((other) => other.table === table);
    if (!sent || !whole) return [];
    return columns
      .filter(({ name }) => !has(sent, name))
      .map((column) => ({ table, column, isAdded: !has(whole, column.name), isRewritten: file !== whole.file }));
  });
}

const has = ({ columns }: TableShape, name: string) => columns.some((column) => column.name === name);

/** What of the new columns would differ in rows that are there; asked in the primary's transaction, before its end. */
export async function fillObstacles(
  primary: Sql,
  replica: Sql,
  added: NewColumn[],
  taking: TableShape[],
): Promise<string[]> {
  const problems: string[] = [];
  for (const one of added) {
    const own = taking.find(({ table }) => table === one.table)?.columns.find(({ name }) => name === one.column.name);
    const problem = own && (await fillObstacle(primary, replica, one, own));
    if (problem !== undefined) problems.push(`${one.table}.${one.column.name}: ${problem}`);
  }
  return problems;
}

async function fillObstacle(
  primary: Sql,
  replica: Sql,
  added: NewColumn,
  own: ColumnShape,
): Promise<string | undefined> {
  if (!(await isUniform(replica, own))) {
    return 'rows that the replica has, and rows on their way to it, would get different values: give it a constant default, in the statement that adds it.';
  }
  if (added.isRewritten) {
    return (await hasRows(primary, added.table))
      ? 'its default is another one for each row, and rows that are there would get other values on the replica: add it without a default, publish it, fill it by an update, and set the default last.'
      : undefined;
  }
  if (added.isAdded && added.column.fill !== own.fill) {
    return `rows that are there hold ${show(added.column.fill)} on the primary and ${show(own.fill)} on the replica: give both the same constant default.`;
  }
  return (await hasUnsent(primary, added, own.fill))
    ? 'rows that are there hold values which replication would not send: publish it first, then update those rows, in the same file.'
    : undefined;
}

const show = (value: string | null) => (value === null ? 'null' : `'${value}'`);

/** Rows that were there hold the fill; those that arrive before the primary sends the column get the default. */
async function isUniform(replica: Sql, { default: expression, fill, type }: ColumnShape): Promise<boolean> {
  if (expression === null || fill === null) return expression === null && fill === null;
  const [row] = await replica.unsafe<[{ value: string }]>(`select (${expression})::${type}::text as value`);
  return row.value === fill;
}

async function hasRows(primary: Sql, table: string): Promise<boolean> {
  const [row] = await primary.unsafe<[{ found: boolean }]>(`select exists (select from ${table}) as found`);
  return row.found;
}

/**
 * A row holds something else than the fill, and was not written after the column was published: then nothing sends it.
 * Of what this transaction wrote, cmin tells the order. An added column with no rows written since needs no look.
 */
async function hasUnsent(primary: Sql, { table, column, isAdded }: NewColumn, fill: string | null): Promise<boolean> {
  if (isAdded && !(await hasWritten(primary, table))) return false;
  // A writer that has the old publication in view must end before the look, and none may begin.
  await primary.unsafe(`lock table ${table} in share mode`);
  const [row] = await primary<[{ found: boolean }]>`
    select exists (
      select from ${primary.unsafe(table)} t
      left join pg_publication_rel p on p.prrelid = ${table}::regclass and p.xmin = pg_current_xact_id()::xid
        and p.prpubid = (select oid from pg_publication where pubname = 'readback')
      where t.${primary.unsafe(quoted(column.name))}::text is distinct from ${fill}
        and not (t.xmin = pg_current_xact_id()::xid and t.cmin::text::bigint > coalesce(p.cmin::text::bigint, -1))
    ) as found`;
  return row.found;
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

async function hasWritten(primary: Sql, table: string): Promise<boolean> {
  const [row] = await primary<[{ written: boolean }]>`
    select n_tup_ins + n_tup_upd > 0 as written from pg_stat_xact_user_tables where relid = ${table}::regclass`;
  return row.written;
}
