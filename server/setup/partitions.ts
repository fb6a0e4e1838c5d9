import type { Sql } from '../database/connect.ts';
import { isThere } from '../database/sql/there.ts';

/** What was done to one partition alone, which PostgreSQL does not replicate. They are numbered as they are found. */
export interface PartitionChange {
  id: number;
  table: string;
  part: string;
  what: string;
}

/** Looks at the partitions, notes what has changed, and returns all that ever was noted. */
export async function partitionChanges(primary: Sql): Promise<PartitionChange[]> {
  const [found] = await primary<
    [{ is: boolean }]
  >`select to_regprocedure('readback.see_partitions()') is not null as is`;
  if (!found.is) return [];
  return primary<PartitionChange[]>`
    select id::int, table_name as table, part_name as part, what from readback.see_partitions() order by id`;
}

/** The last one that was noted; 0: there are none. Notes nothing. */
export async function lastNoted(primary: Sql): Promise<number> {
  if (!(await isThere(primary, 'readback.partition_changes'))) return 0;
  const [row] = await primary<[{ last: number }]>`
    select coalesce(max(id), 0)::int as last from readback.partition_changes`;
  return row.last;
}

/** The last one that the replica's copy has in it. */
export async function changesCopied(replica: Sql): Promise<number> {
  const [row] = await replica<[{ last: number }?]>`
    select coalesce((to_jsonb(l) ->> 'partition_changes_to')::int, 0) as last from readback.log_state l`;
  return row?.last ?? 0;
}

/** Before a replica is copied: what is done while it is may not be in the copy, and counts as later. */
export async function noteCopying(primary: Sql, replica: Sql): Promise<void> {
  const last = (await partitionChanges(primary)).at(-1)?.id ?? 0;
  if (last > 0) await replica`update readback.log_state set partition_changes_to = ${last}`;
}

export const changeInWords = ({ table, part, what }: PartitionChange): string =>
  `${table}: its partition ${part} was ${what}, which PostgreSQL does not replicate: replicas hold other rows`;
