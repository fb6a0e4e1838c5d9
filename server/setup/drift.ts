import type { Sql } from '../database/connect.ts';
import { isThere } from '../database/sql/there.ts';
import type { Declaration } from '../declare/declaration.ts';
import { labelsOf } from '../declare/kinds.ts';
import { isWider } from './obstacles.ts';
import { publishedTables, shapesOf, type ColumnShape, type TableShape } from './shapes.ts';

/** A table that is sent, as the latest migration left it. */
export interface KnownTable {
  table: string;
  /** What it is called now; null: it is gone. */
  now: string | null;
  columns: ColumnShape[];
}

/** What somebody has changed on the primary since, by other ways than Readback's migrations. */
export interface Drift {
  table: string;
  /** Null: it is of the table itself. */
  column: string | null;
  found: string;
  command: string;
}

export interface PrimaryTables {
  known: KnownTable[];
  /** Of all tables that are known or declared. */
  shapes: TableShape[];
}

export const MIGRATE = 'readback migrate';

/** Asks the catalog alone. */
export async function tablesNow(primary: Sql, declared: readonly Declaration[]): Promise<PrimaryTables> {
  const known = await knownTables(primary);
  const names = [...known.flatMap(({ now }) => now ?? []), ...declared.map(inFull)];
  return { known, shapes: await shapesOf(primary, [...new Set(names)]) };
}

/** One that was dropped and made again has its name, and another oid. None before the first migration that notes them. */
export async function knownTables(primary: Sql): Promise<KnownTable[]> {
  if (!(await isThere(primary, 'readback.known_tables'))) return [];
  return primary<KnownTable[]>`
    select k.table_name as table, k.columns, case when to_regclass(k.table_name) is not null then k.table_name else (
      select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.oid = k.relid and c.relkind in ('r', 'p')) end as now
    from readback.known_tables k order by 1`;
}

/** Something was sent under its former name, and nothing that is renamed on a replica too early could take it. */
export async function hasRenamed(primary: Sql): Promise<boolean> {
  const { known, shapes } = await tablesNow(primary, []);
  return known.some(({ table, now, columns }) => {
    const shape = shapes.find((one) => one.table === now);
    return shape !== undefined && (now !== table || renamedIn(columns, shape.columns).size > 0);
  });
}

/** From now on these are what is compared with. Nothing is noted before the migration that makes room for it. */
export async function noteTables(primary: Sql): Promise<void> {
  if (!(await isThere(primary, 'readback.known_tables'))) return;
  const shapes = await shapesOf(primary, await publishedTables(primary));
  await primary`delete from readback.known_tables`;
  await primary`
    insert into readback.known_tables (table_name, relid, columns)
    select t.name, to_regclass(t.name), t.columns
    from jsonb_to_recordset(${primary.json(shapes.map(({ table, columns }) => ({ name: table, columns })) as never)}) t(name text, columns jsonb)`;
}

/** Pure. */
export function driftsOf({ known, shapes }: PrimaryTables, declared: readonly Declaration[]): Drift[] {
  const shapeOf = (name: string | null) => shapes.find(({ table }) => table === name);
  const since = known.flatMap((one) => changesOf(one, shapeOf(one.now)));
  const told = new Set(since.map(({ table, column }) => `${table} ${column}`));
  const against = declared.flatMap((one) => contradictions(one, shapeOf(inFull(one))));
  return [...since, ...against.filter(({ table, column }) => !told.has(`${table} ${column}`))];
}

/** What the replica lacks of the views that are declared: nothing is sent for them, so that nobody else looks. */
export async function viewFaults(replica: Sql, declared: readonly Declaration[]): Promise<Drift[]> {
  const views = declared.filter(({ isView }) => isView);
  const shapes = await shapesOf(replica, views.map(inFull));
  const shapeOf = (view: Declaration) => shapes.find(({ table }) => table === inFull(view));
  return views.flatMap((view) => contradictions(view, shapeOf(view), 'the replica'));
}

export const driftInWords = ({ found, command }: Drift): string => `${found}: run ${command}`;

/** As PostgreSQL's catalog has it. */
const inFull = ({ name }: Declaration) =>
  name.replaceAll(/"(?:[^"]|"")+"/g, '').includes('.') ? name : `public.${name}`;

const short = (table: string) => table.replace(/^public\./, '');

function changesOf({ table: full, now, columns }: KnownTable, shape: TableShape | undefined): Drift[] {
  const table = short(full);
  const drift = (column: string | null, found: string, command = MIGRATE): Drift[] => [
    { table, column, found: `${column === null ? table : `${table}.${column}`} ${found}`, command },
  ];
  if (now === null || !shape) return drift(null, 'is gone from the primary', `readback add --undo ${table}`);
  const renamed = renamedIn(columns, shape.columns);
  const isKnown = ({ name }: ColumnShape) => columns.some((one) => one.name === name) || renamed.has(name);
  return [
    ...(now === full ? [] : drift(null, `is called ${short(now)} on the primary now`)),
    ...columns.flatMap((was) => {
      const is = shape.columns.find(({ name }) => name === was.name);
      const other = [...renamed].find(([, name]) => name === was.name)?.[0];
      if (!is)
        return drift(was.name, other === undefined ? 'is gone from the primary' : `is called ${other} there now`);
      if (is.type !== was.type) return drift(was.name, `is ${is.type} on the primary now, and was ${was.type}`);
      const more = is.labels?.filter((label) => !was.labels?.includes(label)) ?? [];
      return more.length === 0 ? [] : drift(was.name, `has the value ${more.join(', ')} on the primary besides`);
    }),
    ...shape.columns.filter((is) => !isKnown(is)).flatMap(({ name }) => drift(name, 'is new on the primary')),
  ];
}

/** New names of columns, with the former ones. */
export function renamedIn(known: readonly ColumnShape[], now: readonly ColumnShape[]): Map<string, string> {
  const isIn = (all: readonly ColumnShape[], name: string) => all.some((one) => one.name === name);
  return new Map(
    now
      .filter(({ name }) => !isIn(known, name))
      .flatMap(({ name, number }) =>
        known.filter((was) => was.number === number && !isIn(now, was.name)).map((was) => [name, was.name] as const),
      ),
  );
}

/** What the declaration says, and the server does not have: nothing but another declaration helps, or another view. */
function contradictions(declared: Declaration, shape: TableShape | undefined, server = 'the primary'): Drift[] {
  const { name: table, columns, type, isView } = declared;
  if (!shape) {
    const command = isView
      ? `${MIGRATE}, with a file under sql/ that makes the view there`
      : `${MIGRATE} or, if the table is gone for good, readback add --undo ${table}`;
    return [{ table, column: null, found: `${table} is declared, and not on ${server}`, command }];
  }
  const command = `${MIGRATE} or, if that changes nothing, correct ${type.name} under schema/tables, run npm run codegen and start the server again`;
  return columns.flatMap((column): Drift[] => {
    const is = shape.columns.find(({ name }) => name === column.name);
    const what = is ? contradiction(column, is, server) : `is declared, and not on ${server}`;
    return what === undefined
      ? []
      : [{ table, column: column.name, found: `${table}.${column.name} ${what}`, command }];
  });
}

function contradiction(
  { form, type }: Declaration['columns'][number],
  is: ColumnShape,
  server: string,
): string | undefined {
  const bare = (name: string) => name.replace(/\(.*\)/, '');
  if (isWider(bare(form.sql), bare(is.type))) return `is ${is.type} on ${server}, and declared as ${form.sql}`;
  const declared = is.labels && labelsOf(type());
  const more = declared ? is.labels!.filter((label) => !declared.includes(label)) : [];
  return more.length === 0 ? undefined : `may be ${more.join(', ')}, which its declaration does not name`;
}
