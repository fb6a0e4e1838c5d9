import type { Sql } from '../database/connect.ts';
import type { TableShape } from './shapes.ts';

/** By what an update or a delete names its row: of a table, or of a partition of it, which are what is written. */
export interface Identity {
  table: string;
  /** d: the key; f: the whole row; i: an index; n: nothing. */
  kind: 'd' | 'f' | 'i' | 'n';
  /** Of that index. */
  columns: string[] | null;
}

/** What is published, or would be. */
export interface Sending {
  table: string;
  /** null: there is none. */
  key: string[] | null;
  isKeyDeferrable: boolean;
  /** It, or a partition of it. */
  isUnlogged: boolean;
  identities: Identity[];
}

/** Its columns, in SQL, of the pg_class c. */
export const SENDING = `
  (select json_agg(a.attname order by array_position(k.conkey, a.attnum)) from pg_constraint k
    join pg_attribute a on a.attrelid = c.oid and a.attnum = any(k.conkey) where k.conrelid = c.oid and k.contype = 'p') as key,
  exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p' and k.condeferrable) as is_key_deferrable,
  c.relpersistence = 'u' or c.relkind = 'p' and exists (
    select from pg_partition_tree(c.oid) t join pg_class p on p.oid = t.relid where p.relpersistence = 'u') as is_unlogged,
  (select json_agg(json_build_object('table', p.oid::regclass::text, 'kind', p.relreplident, 'columns', (
      select json_agg(ia.attname order by ia.attname) from pg_index i join pg_attribute ia on ia.attrelid = i.indrelid and ia.attnum = any(i.indkey)
      where i.indrelid = p.oid and i.indisreplident and p.relreplident = 'i')) order by p.oid <> c.oid, p.oid::regclass::text)
    from pg_class p where p.oid = c.oid or c.relkind = 'p' and p.oid in (select relid from pg_partition_tree(c.oid))) as identities`;

/**
 * Why the application's own updates and deletes would fail once the table is published without the columns `left`, or
 * could not be sent or applied. Pure.
 */
export function whatBreaks({ table, key, isKeyDeferrable, isUnlogged, identities }: Sending, left: string[]): string[] {
  return [
    ...(key === null ? ['it has no primary key, by which a row could be known: add one.'] : []),
    ...(isKeyDeferrable ? [`its primary key is deferrable: ${REFUSED}.`] : []),
    ...(isUnlogged ? ['it is unlogged, and PostgreSQL sends none of it: run alter table … set logged.'] : []),
    ...identities.flatMap((identity) => identityFault(table, key ?? [], identity, left)),
  ];
}

const REFUSED = 'PostgreSQL would refuse updates and deletes once it is published';

function identityFault(of: string, key: string[], { table, kind, columns }: Identity, left: string[]): string[] {
  const isOwn = table === of || `public.${table}` === of;
  const its = isOwn ? 'its replica identity' : `the replica identity of its partition ${table}`;
  const repair = `Run alter table ${isOwn ? '…' : table} replica identity default.`;
  const index = `an index (${columns?.join(', ')})`;
  const missing = kind === 'f' ? left : left.filter((name) => columns?.includes(name));
  if (kind === 'n') return [`${its} is nothing: ${REFUSED}. ${repair}`];
  if (missing.length > 0)
    return [
      `${its} is ${kind === 'f' ? 'full' : index}, and ${missing.join(', ')} would stay on the primary: ${REFUSED}. ${repair}`,
    ];
  if (kind === 'i' && !key.every((name) => columns?.includes(name)))
    return [`${its} is ${index}, and replicas look for rows by the key (${key.join(', ')}). ${repair}`];
  return [];
}

/** Of what is published since `before`, or with other columns. */
export async function breaking(primary: Sql, before: TableShape[], after: TableShape[]): Promise<string[]> {
  const namesOf = ({ columns }: TableShape) => columns.map(({ name }) => name);
  const changed = after.filter((shape) => {
    const earlier = before.find(({ table }) => table === shape.table);
    return !earlier || namesOf(earlier).join() !== namesOf(shape).join();
  });
  const rows = await primary<(Sending & { columns: string[] })[]>`
    select t.name as table, ${primary.unsafe(SENDING)}, (
        select json_agg(attname order by attnum) from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
        -- Without a list, versions before 18 send what is generated nowhere, and mind nothing.
          and (attgenerated = '' or current_setting('server_version_num')::int >= 180000 or exists (
            select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
            where p.pubname = 'readback' and r.prrelid = c.oid and r.prattrs is not null))) as columns
    from jsonb_array_elements_text(${primary.json(changed.map(({ table }) => table))}) as t(name) join pg_class c on c.oid = to_regclass(t.name)
    order by 1`;
  return rows.flatMap((row) => {
    const sent = namesOf(changed.find(({ table }) => table === row.table)!);
    const left = row.columns.filter((name) => !sent.includes(name));
    // That there is no key is told of each replica.
    return whatBreaks({ ...row, key: row.key ?? [] }, left).map((fault) => `${row.table}: ${fault}`);
  });
}
