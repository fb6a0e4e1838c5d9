import type { Sql } from '../connect.ts';

/** Whether there is a table of that name. */
export async function isThere(sql: Sql, table: string): Promise<boolean> {
  const [row] = await sql<[{ there: boolean }]>`select to_regclass(${table}) is not null as there`;
  return row.there;
}
