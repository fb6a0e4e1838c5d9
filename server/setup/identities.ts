import type { Sql } from '../database/connect.ts';

/** By which columns a side knows the rows that updates and deletes are of. */
export interface Identity {
  table: string;
  /** It stands in the place of the primary key; null: it is the key, or the whole row. */
  index: string | null;
  /** null: the whole row. */
  columns: string[] | null;
}

export function identitiesOf(sql: Sql, tables: readonly string[]): Promise<Identity[]> {
  return sql<Identity[]>`
    select t.name as table, case when c.relreplident = 'i' then i.indexrelid::regclass::text end as index,
           case when c.relreplident <> 'f' then (
             select coalesce(json_agg(a.attname order by a.attname), '[]') from pg_attribute a
             where a.attrelid = c.oid and a.attnum = any(i.indkey)) end as columns
    from jsonb_array_elements_text(${sql.json([...tables])}) as t(name)
    join pg_class c on c.oid = to_regclass(t.name)
    left join pg_index i on i.indrelid = c.oid and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end
    order by 1`;
}

export interface Mismatch {
  table: string;
  /** Whose identity is another one than the primary key. */
  side: 'primary' | 'replica';
  index: string;
  columns: string[];
}

/**
 * The primary sends the columns of its identity with an update or a delete, and the replica looks for the row by those of
 * its own: where it does not get them all, the apply worker fails. Of the whole row it gets everything, and one that knows
 * rows as a whole looks for them by its key. Pure.
 */
export function mismatches(sent: readonly Identity[], taking: readonly Identity[]): Mismatch[] {
  return sent.flatMap(({ table, index, columns }) => {
    const own = taking.find((other) => other.table === table);
    if (!own?.columns || !columns || own.columns.every((column) => columns.includes(column))) return [];
    const side = index === null ? 'replica' : 'primary';
    const odd = index === null ? own : { index, columns };
    return odd.index === null ? [] : [{ table, side, index: odd.index, columns: odd.columns! }];
  });
}

export const whatDiffers = ({ table, index, columns, side }: Mismatch): string =>
  `rows of ${table} are known by the index ${index} (${columns.join(', ')}) ${side === 'primary' ? 'here, and the replica looks for them by another key' : 'here, and the primary sends another key'}`;
