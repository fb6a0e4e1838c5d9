import type { Sql } from '../connect.ts';

/**
 * Rows of tables, as the planner has them: counted when they were analysed last, and grown with the file since. Of a
 * partitioned table, those of its partitions.
 */
export async function estimatedRows(sql: Sql, tables: readonly string[]): Promise<Map<string, number>> {
  const found = await sql<{ name: string; rows: number }[]>`
    select t.name, sum(case when relpages > 0 and reltuples >= 0 then reltuples / relpages * pages else pages * 50 end) as rows
    from unnest(${[...tables]}::text[]) t(name)
    join lateral (select to_regclass(t.name) as oid union select relid from pg_partition_tree(to_regclass(t.name))) part on true
    join pg_class c on c.oid = part.oid and relkind = 'r',
    lateral (select pg_relation_size(c.oid)::float8 / current_setting('block_size')::float8) size(pages)
    group by t.name`;
  return new Map(found.map(({ name, rows }) => [name, rows]));
}
