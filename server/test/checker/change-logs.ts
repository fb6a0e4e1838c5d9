import type postgres from 'postgres';
import { parseLsn } from '../../lib/lsn.ts';
import { changeOf, lineOf, markerOf, type Told } from './told.ts';

/** A replica's change log, all of it, in the order in which the feed reads it. */
export async function changeLog(replica: postgres.Sql, name: string): Promise<Told> {
  const told: Told = { name: `the log of ${name}`, lines: [], times: [], logs: [] };
  const rows = replica`
    select after_lsn::text, row_number() over (partition by after_lsn order by seq)::int as place, operation, table_name, key,
           after ->> 'first_name' as first_name, after ->> 'title' as title, md5(after ->> 'body') as body_md5, after ->> 'marker' as marker,
           after is null as is_delete, extract(epoch from applied_at)::float * 1000 as applied
    from readback.change_log order by after_lsn, seq`;
  await rows.cursor(2000, (batch) => {
    for (const { after_lsn, place, operation, table_name, key, is_delete, applied, ...row } of batch) {
      const change = changeOf(operation, key, is_delete ? '' : markerOf(table_name, row));
      told.lines.push(lineOf({ lsn: parseLsn(after_lsn), place }, change));
      told.times.push(applied);
    }
  });
  return told;
}

/** Whose log it is, by its id. */
export async function logNames(replicas: readonly postgres.Sql[]): Promise<Map<bigint, string>> {
  const names = new Map<bigint, string>();
  for (const [index, replica] of replicas.entries()) {
    const [row] = await replica`select log_id::text from readback.log_state`;
    names.set(BigInt(row!['log_id']), `replica-${index + 1}`);
  }
  return names;
}

/** A pruned log cannot be compared. Set-up leaves it pruned up to where it is complete from. */
export async function prunedLogs(replicas: readonly postgres.Sql[]): Promise<string[]> {
  const pruned = replicas.map(async (replica, index) => {
    const [row] = await replica`select pruned_to::text from readback.log_state where pruned_to > complete_since`;
    return row ? [`the log of replica-${index + 1} was pruned up to ${row['pruned_to']}: keep more of it`] : [];
  });
  return (await Promise.all(pruned)).flat();
}

/** Rows of the log whose images differ between two replicas, at most five: the same change has the same images everywhere. */
export async function imageDifferences([one, other]: readonly postgres.Sql[]): Promise<string[]> {
  const [ones, others] = await Promise.all([one!, other!].map(images));
  const different = [...ones!].filter(([name, image]) => others!.has(name) && others!.get(name) !== image);
  return different.slice(0, 5).map(([name]) => `the change ${name} has other images on replica-1 than on replica-2`);
}

async function images(replica: postgres.Sql): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const rows = replica`
    select after_lsn || '+' || row_number() over (partition by after_lsn order by seq) || ' ' || key as name,
           md5(concat_ws('|', before::text, after::text)) as image from readback.change_log`;
  await rows.cursor(5000, (batch) => {
    for (const { name, image } of batch) found.set(name, image);
  });
  return found;
}
