import type { Sql } from '../../database/connect.ts';
import type { KeyColumn, VerifiedTable } from './table.ts';

/** A key, as its columns' texts. */
export type Key = string[];

/** Keys after `after` up to and with `upTo`; undefined: without an end on that side. */
export interface Range {
  after: Key | undefined;
  upTo: Key | undefined;
}

export interface Sum {
  rows: number;
  sum: string;
}

/**
 * A sum of 64-bit hashes does not care for the order of rows, so none has to be sorted; that two contents have the same
 * is one chance in 2^64. `filter` is for the primary alone: the replica has what met it.
 */
export async function sumOf(sql: Sql, table: VerifiedTable, range: Range, filter: string | null): Promise<Sum> {
  const [row] = await select<Sum>(
    sql,
    `select count(*)::float as rows, coalesce(sum(${hashOf(table)}::numeric), 0)::text as sum`,
    table,
    range,
    filter,
  );
  return row!;
}

/** Every row's key, as JSON, and hash. Of a table without a key: each hash, and how often. */
export async function hashesOf(
  sql: Sql,
  table: VerifiedTable,
  range: Range,
  filter: string | null,
): Promise<Map<string, string>> {
  const keyed = `select ${keyText(table)}::text as key, ${hashOf(table)}::text as hash`;
  const counted = `select json_build_array(${hashOf(table)}::text)::text as key, count(*)::text as hash`;
  const [columns, end] = table.key.length > 0 ? [keyed, ''] : [counted, 'group by 1'];
  const rows = await select<{ key: string; hash: string }>(sql, columns, table, range, filter, end);
  return new Map(rows.map(({ key, hash }) => [key, hash]));
}

/** The key that ends a range of `rows` rows; undefined: there are fewer. */
export async function boundAfter(
  sql: Sql,
  table: VerifiedTable,
  after: Key | undefined,
  rows: number,
): Promise<Key | undefined> {
  if (table.key.length === 0) return undefined;
  const order = `order by ${table.key.map(expression).join(', ')} offset ${rows - 1} limit 1`;
  const [row] = await select<{ key: Key }>(
    sql,
    `select ${keyText(table)} as key`,
    table,
    { after, upTo: undefined },
    null,
    order,
  );
  return row?.key;
}

export interface Row {
  /** The texts of its columns. */
  values: (string | null)[];
  /** Another one after each write. */
  version: string;
}

/** Those of the keys that are there, by key as JSON. */
export async function rowsAt(
  sql: Sql,
  table: VerifiedTable,
  keys: string[],
  filter: string | null,
): Promise<Map<string, Row>> {
  const names = table.key.map(({ name }) => quoted(name)).join(', ');
  const wanted = table.key.map(({ type }, index) => `(wanted.value ->> ${index})::${type}`).join(', ');
  const rows = await sql.unsafe<(Row & { key: string })[]>(
    `select ${keyText(table)}::text as key, json_build_array(${table.columns.map(textOf).join(', ')}) as values,
            xmin::text || ctid::text as version
     from ${table.table} where (${names}) in (select ${wanted} from jsonb_array_elements($1::text::jsonb) as wanted)
       and ${filter ?? 'true'}`,
    [`[${keys.join(',')}]`],
  );
  return new Map(rows.map(({ key, ...row }) => [key, row]));
}

/** Parameters are sent as text and read by the server: the driver would change some types on their way. */
async function select<T extends object>(
  sql: Sql,
  columns: string,
  table: VerifiedTable,
  { after, upTo }: Range,
  filter: string | null,
  end = '',
): Promise<T[]> {
  const bounds = [
    ...(after ? [bound(table, '>', 0)] : []),
    ...(upTo ? [bound(table, '<=', after?.length ?? 0)] : []),
    ...(filter === null ? [] : [filter]),
  ];
  return sql.unsafe<T[]>(`${columns} from ${table.table} where ${bounds.join(' and ') || 'true'} ${end}`, [
    ...(after ?? []),
    ...(upTo ?? []),
  ]);
}

function bound({ key }: VerifiedTable, operator: string, before: number): string {
  const names = key.map(expression).join(', ');
  const values = key.map(({ type }, index) => `$${before + index + 1}::text::${type}`).join(', ');
  return `(${names}) ${operator} (${values})`;
}

const hashOf = ({ columns }: VerifiedTable) => `hashtextextended(row(${columns.map(quoted).join(', ')})::text, 0)`;
const keyText = ({ key }: VerifiedTable) => `json_build_array(${key.map(({ name }) => textOf(name)).join(', ')})`;
const textOf = (column: string) => `${quoted(column)}::text`;
const expression = ({ name, isByBytes }: KeyColumn) => (isByBytes ? `${quoted(name)} collate "C"` : quoted(name));
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
