import type postgres from 'postgres';
import { KEYS } from '../support/other-keys.ts';

interface Published {
  table: string;
  columns: string[];
}

export interface TableDifference {
  /** One line. */
  what: string;
  /** The first rows. */
  details: string[];
}

/** Where the replicas' tables differ from the primary's: all rows, all published columns as text. */
export async function tableDifferences(
  primary: postgres.Sql,
  replicas: readonly postgres.Sql[],
): Promise<TableDifference[]> {
  const published = await primary<(Published & postgres.Row)[]>`
    select tablename as table, attnames::text[] as columns from pg_publication_tables
    where pubname = 'readback' and schemaname = 'public' order by tablename`;
  const found: TableDifference[] = [];
  for (const each of published) {
    const expected = await rowsOf(primary, each);
    for (const [index, replica] of replicas.entries())
      found.push(...differences(each.table, expected, `replica-${index + 1}`, await rowsOf(replica, each)));
  }
  return found;
}

async function rowsOf(sql: postgres.Sql, { table, columns }: Published): Promise<Map<string, string>> {
  const key = KEYS[table]!.map((column) => `"${column}"`).join(', ');
  const list = columns.map((column) => `"${column}"`).join(', ');
  const rows = await sql.unsafe(`select row(${key})::text as key, row(${list})::text as row from public."${table}"`);
  return new Map(rows.map(({ key, row }) => [key, row]));
}

const SHOWN = 5;

function differences(
  table: string,
  primary: Map<string, string>,
  name: string,
  replica: Map<string, string>,
): TableDifference[] {
  const keys = [...new Set([...primary.keys(), ...replica.keys()])];
  const different = keys.filter((key) => primary.get(key) !== replica.get(key));
  if (different.length === 0) return [];
  const details = different
    .slice(0, SHOWN)
    .flatMap((key) => [`  the primary: ${shown(primary.get(key))}`, `  ${name}: ${shown(replica.get(key))}`]);
  return [{ what: `${table}: ${different.length} rows differ on ${name}`, details }];
}

/** Enough of a row to know it by. */
function shown(row: string | undefined): string {
  if (row === undefined) return 'no such row';
  return row.length <= 300 ? row : `${row.slice(0, 200)} … ${row.slice(-60)} (${row.length} characters)`;
}
