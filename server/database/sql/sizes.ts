import type { Sql } from '../connect.ts';

/** Rows of tables, as the planner has them: counted when they were analysed last, and grown with the file since. */
export async function estimatedRows(sql: Sql, tables: readonly string[]): Promise<Map<string, number>> {
  const found = await sql<{ name: string; rows: number }[]>`
    select relname as name, case when relpages > 0 and reltuples >= 0 then reltuples / relpages * pages else pages * 50 end as rows
    from pg_class, lateral (select pg_relation_size(oid)::float8 / current_setting('block_size')::float8) size(pages)
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname in ${sql([...tables])}`;
  return new Map(found.map(({ name, rows }) => [name, rows]));
}
