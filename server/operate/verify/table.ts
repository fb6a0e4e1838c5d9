import type { Sql } from '../../database/connect.ts';
import { sentColumns } from '../../setup/shapes.ts';

/** A published table, as both sides are read. */
export interface VerifiedTable {
  /** With its schema, quoted where SQL needs it. */
  table: string;
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
           ${sentColumns(primary)} as columns,
           coalesce((
             select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                               'isText', a.attcollation <> 0, 'isByBytes', false) order by k.place)
             from pg_index i cross join unnest(i.indkey) with ordinality as k(attnum, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where i.indrelid = c.oid and i.indisprimary), '[]') as key
    from pg_publication_tables p join pg_class c on c.oid = format('%I.%I', p.schemaname, p.tablename)::regclass
    where p.pubname = 'readback' order by 1`;
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
