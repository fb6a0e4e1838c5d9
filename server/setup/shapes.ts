import type { Sql, Statement } from '../database/connect.ts';
import { subscribedTables } from '../database/sql/subscriptions.ts';

/** A table as replication sees it. */
export interface TableShape {
  /** With its schema, quoted where SQL needs it. */
  table: string;
  /** Another one after a statement has rewritten the table. */
  file: string;
  columns: ColumnShape[];
}

export interface ColumnShape {
  /** It stays when the column is renamed. */
  number: number;
  name: string;
  type: string;
  /** Of an enum, or of an array of one: its values, in their order. */
  labels: string[] | null;
  isNullable: boolean;
  isKey: boolean;
  isGenerated: boolean;
  /** As an expression; null: none. */
  default: string | null;
  /** What rows hold that were there before the column, as text; null: null, or the table was rewritten. */
  fill: string | null;
}

/** Of the name of a table, as format('%I.%I') makes it. */
export function partsOf(table: string): [schema: string, name: string] {
  const [schema = '', name = ''] = table.match(/"(?:[^"]|"")+"|[^."]+/g) ?? [];
  return [schema, name];
}

/** What the publication sends, as the calling transaction sees it; nothing where there is no publication yet. */
export async function publishedBy(primary: Sql): Promise<TableShape[]> {
  const published = await publishedColumns(primary);
  const sent = new Map(published.map(({ table, columns }) => [table, new Set(columns)]));
  const shapes = await shapesOf(primary, [...sent.keys()]);
  return shapes.map(({ table, file, columns }) => ({
    table,
    file,
    columns: columns.filter(({ name }) => sent.get(table)!.has(name)),
  }));
}

export async function publishedTables(primary: Sql): Promise<string[]> {
  return tablesOf(await publishedColumns(primary));
}

export const tablesOf = (all: readonly { table: string }[]): string[] => all.map(({ table }) => table);

function publishedColumns(primary: Sql): Statement<{ table: string; columns: string[] }> {
  return primary<{ table: string; columns: string[] }[]>`
    select format('%I.%I', p.schemaname, p.tablename) as table, ${sentColumns(primary)} as columns
    from pg_publication_tables p where p.pubname = 'readback' order by 1`;
}

/**
 * Rows p of pg_publication_tables, of all publications, and c of pg_class. They are joined by names: a cast to regclass is
 * refused for tables of schemas that the login may not use, and others' publications may have some.
 */
export const publishedRelations = (primary: Sql) => primary`
  pg_publication_tables p join pg_namespace n on n.nspname = p.schemaname
  join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename`;

/**
 * For a row p of pg_publication_tables, as JSON. PostgreSQL 15 lists generated columns of a table that is published whole,
 * though no version before 18 sends any.
 */
export const sentColumns = (primary: Sql) => primary`(
  select json_agg(a.attname order by a.attnum) from pg_attribute a
  where a.attrelid = format('%I.%I', p.schemaname, p.tablename)::regclass and a.attname = any(p.attnames)
    and (a.attgenerated = '' or current_setting('server_version_num')::int >= 180000))`;

/** The tables that the replica has a subscription to, be they copied or not. */
export async function subscribedOn(replica: Sql): Promise<string[]> {
  return tablesOf(await subscribedTables(replica));
}

/** Those of the tables that are there. */
export async function shapesOf(sql: Sql, tables: string[]): Promise<TableShape[]> {
  return sql<TableShape[]>`
    select t.name as table, pg_relation_filenode(c.oid)::text as file, json_agg(json_build_object(
        'number', a.attnum,
        'name', a.attname,
        'type', format_type(a.atttypid, a.atttypmod),
        'labels', (select json_agg(enumlabel order by enumsortorder) from pg_enum
          where enumtypid in (a.atttypid, (select typelem from pg_type where oid = a.atttypid and typcategory = 'A'))),
        'isNullable', not a.attnotnull,
        'isKey', coalesce(a.attnum = any(k.indkey), false),
        'isGenerated', a.attgenerated <> '',
        'default', case when a.attidentity <> '' then 'identity' else pg_get_expr(d.adbin, d.adrelid) end,
        'fill', (a.attmissingval::text::text[])[1]
      ) order by a.attnum) as columns
    from jsonb_array_elements_text(${sql.json(tables)}) as t(name)
    join pg_class c on c.oid = to_regclass(t.name)
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join pg_index k on k.indrelid = c.oid and k.indisprimary
    group by t.name, c.oid order by t.name`;
}
