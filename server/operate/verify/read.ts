import { quoted, type Sql } from '../../database/connect.ts';
import { publishedRelations, sentColumns } from '../../setup/shapes.ts';

/** A published table, as both sides are read. */
export interface VerifiedTable {
  /** With its schema, quoted where SQL needs it. */
  table: string;
  /** Before its name: rows of tables that inherit from it are theirs. Of a partitioned one all rows are. */
  only: 'only ' | '';
  /** Those that are published. */
  columns: string[];
  /** Primary key in the order of its index; none: rows are compared by what they hold. */
  key: KeyColumn[];
  /** Of the publication: rows that do not meet it are not sent. */
  filter: string | null;
  /** As the primary last counted them. */
  estimatedRows: number;
}

export interface KeyColumn {
  name: string;
  type: string;
  /** Its values have an order that depends on a language. */
  isText: boolean;
  /** Compared by bytes instead. */
  isByBytes: boolean;
}

export async function tablesToVerify(primary: Sql): Promise<VerifiedTable[]> {
  return primary<VerifiedTable[]>`
    select format('%I.%I', p.schemaname, p.tablename) as table, p.rowfilter as filter,
           greatest(c.reltuples, 0)::float as estimated_rows,
           case when c.relkind = 'p' then '' else 'only ' end as only, ${sentColumns(primary)} as columns,
           coalesce((
             select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                               'isText', a.attcollation <> 0, 'isByBytes', false) order by k.place)
             from pg_index i cross join unnest(i.indkey) with ordinality as k(attnum, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where i.indrelid = c.oid and i.indisprimary), '[]') as key
    from ${publishedRelations(primary)} where p.pubname = 'readback' order by 1`;
}

/** The table as one side has it. The filter is for the primary alone: a replica has what met it. */
export interface TableOn extends VerifiedTable {
  sql: Sql;
}

/** Two servers that sort text differently would cut a range of keys differently. */
export async function collationOf(sql: Sql): Promise<string> {
  const [row] = await sql<[{ collation: string }]>`
    select to_jsonb(d) - array['oid', 'datname', 'datdba', 'datacl', 'dattablespace', 'datfrozenxid', 'datminmxid', 'datconnlimit']
      as collation from pg_database d where datname = current_database()`;
  return JSON.stringify(row.collation);
}

/** By bytes, where the two do not agree: the index does not serve that, but the ranges are the same. */
export const sortedByBytes = (table: VerifiedTable): VerifiedTable => ({
  ...table,
  key: table.key.map((column) => ({ ...column, isByBytes: column.isText })),
});

/** The same value is the same text on both sides, whatever the servers' settings. */
export async function fixTextForm(sql: Sql): Promise<void> {
  await sql`set extra_float_digits = 1`;
  await sql`set bytea_output = hex`;
  await sql`set intervalstyle = iso_8601`;
  await sql`set search_path = pg_catalog`;
}

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
 * is one chance in 2^64.
 */
export async function sumOf(table: TableOn, range: Range): Promise<Sum> {
  const columns = `count(*)::float as rows, coalesce(sum(${hashOf(table)}::numeric), 0)::text as sum`;
  const [row] = await select<Sum>(table, columns, range);
  return row!;
}

/** Every row's key, as JSON, and hash. Of a table without a key: each hash, and how often. */
export async function hashesOf(table: TableOn, range: Range): Promise<Map<string, string>> {
  const keyed = `${keyText(table)}::text as key, ${hashOf(table)}::text as hash`;
  const counted = `json_build_array(${hashOf(table)}::text)::text as key, count(*)::text as hash`;
  const [columns, end] = table.key.length > 0 ? [keyed, ''] : [counted, 'group by 1'];
  const rows = await select<{ key: string; hash: string }>(table, columns, range, end);
  return new Map(rows.map(({ key, hash }) => [key, hash]));
}

/** The key that ends a range of `rows` rows; undefined: there are fewer. */
export async function boundAfter(table: TableOn, after: Key | undefined, rows: number): Promise<Key | undefined> {
  if (table.key.length === 0) return undefined;
  const end = `order by ${table.key.map(expression).join(', ')} offset ${rows - 1} limit 1`;
  const [row] = await select<{ key: Key }>(table, `${keyText(table)} as key`, { after, upTo: undefined }, end);
  return row?.key;
}

export interface Row {
  /** The texts of its columns. */
  values: (string | null)[];
  /** Another one after each write. */
  version: string;
}

/** Those of the keys that are there, by key as JSON. */
export async function rowsAt(table: TableOn, keys: string[]): Promise<Map<string, Row>> {
  const names = table.key.map(({ name }) => quoted(name)).join(', ');
  const wanted = table.key.map(({ type }, index) => `(wanted.value ->> ${index})::${type}`).join(', ');
  const rows = await table.sql.unsafe<(Row & { key: string })[]>(
    `select ${keyText(table)}::text as key, json_build_array(${table.columns.map(textOf).join(', ')}) as values,
            xmin::text || ctid::text as version
     from ${table.only}${table.table} where (${names}) in (select ${wanted} from jsonb_array_elements($1::text::jsonb) as wanted)
       and ${table.filter ?? 'true'}`,
    [`[${keys.join(',')}]`],
  );
  return new Map(rows.map(({ key, ...row }) => [key, row]));
}

/** Parameters are sent as text and read by the server: the driver would change some types on their way. */
async function select<T extends object>(
  table: TableOn,
  columns: string,
  { after = [], upTo = [] }: Range,
  end = '',
): Promise<T[]> {
  const bounds = [
    ...(after.length > 0 ? [bound(table, '>', 0)] : []),
    ...(upTo.length > 0 ? [bound(table, '<=', after.length)] : []),
    table.filter ?? 'true',
  ];
  const statement = `select ${columns} from ${table.only}${table.table} t where ${bounds.join(' and ')} ${end}`;
  return table.sql.unsafe<T[]>(statement, [...after, ...upTo]);
}

function bound({ key }: VerifiedTable, operator: string, before: number): string {
  const names = key.map(expression).join(', ');
  const values = key.map(({ type }, index) => `$${before + index + 1}::text::${type}`).join(', ');
  return `(${names}) ${operator} (${values})`;
}

const hashOf = ({ columns }: VerifiedTable) => `hashtextextended(row(${columns.map(quoted).join(', ')})::text, 0)`;
const keyText = ({ key }: VerifiedTable) => `json_build_array(${key.map(({ name }) => textOf(name)).join(', ')})`;
const textOf = (column: string) => `${quoted(column)}::text`;
/** Of the table, as what is selected may have the name of one of its columns. */
const expression = ({ name, isByBytes }: KeyColumn) => `t.${quoted(name)}${isByBytes ? ' collate "C"' : ''}`;
