import type { Sql } from '../connect.ts';

/**
 * Rows of tables, as the planner has them: counted when they were analysed last, and grown with the file since. Of a
 * partitioned table, those of its partitions; of a view, those of all that it reads.
 */
export async function estimatedRows(sql: Sql, tables: readonly string[]): Promise<Map<string, number>> {
  const found = await sql<{ name: string; rows: number }[]>`
    with recursive part(name, oid) as (
      select name, to_regclass(name)::oid from unnest(${[...tables]}::text[]) t(name)
      union
      select name, below.oid from part, lateral (
        select relid::oid from pg_partition_tree(part.oid)
        union all
        select d.refobjid from pg_class v join pg_rewrite r on r.ev_class = v.oid join pg_depend d on d.objid = r.oid
        where v.oid = part.oid and v.relkind = 'v' and d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass) below(oid))
    select name, sum(case when relpages > 0 and reltuples >= 0 then reltuples / relpages * pages else pages * 50 end) as rows
    from part join pg_class c on c.oid = part.oid and relkind in ('r', 'm'),
    lateral (select pg_relation_size(c.oid)::float8 / current_setting('block_size')::float8) size(pages)
    group by name`;
  return new Map(found.map(({ name, rows }) => [name, rows]));
}
