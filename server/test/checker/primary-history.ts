import type postgres from 'postgres';
import { parseLsn, type Lsn } from '../../lib/lsn.ts';
import { KEYS } from '../support/other-keys.ts';
import { changeOf, lineOf, markerOf, md5, type Told } from './told.ts';

/**
 * What really happened, by the primary's own log: a slot of PostgreSQL's test_decoding. It also says what each change's
 * position must be: the end of the published transaction before it, and the place within its own.
 */
export async function recordPrimary(primary: postgres.Sql): Promise<void> {
  await primary`select pg_create_logical_replication_slot('truth', 'test_decoding')`;
  // A published transaction: where it ends is where the first one that counts begins.
  await primary`update readback.heartbeat set beat_at = clock_timestamp()`;
}

/** Changes of the published tables in the order of their commits. Takes them from the slot. */
export async function primaryHistory(primary: postgres.Sql): Promise<Told> {
  const published = await primary`
    select schemaname || '.' || tablename as name, array(
      select format('%I.%I', n.nspname, c.relname) from pg_partition_tree(format('%I.%I', schemaname, tablename)::regclass) p
      join pg_class c on c.oid = p.relid join pg_namespace n on n.oid = c.relnamespace where p.isleaf) as parts
    from pg_publication_tables where pubname = 'readback'`;
  // Of a partitioned table test_decoding names the partitions.
  const tables = published.flatMap(({ name, parts }) => [[name, name], ...parts.map((part: string) => [part, name])]);
  const history = new History(new Map(tables as [string, string][]));
  // Commits, and rows of the two schemas that hold what is published: of everything else there may be much.
  const rows = primary`
    select lsn::text, data from pg_logical_slot_get_changes('truth', null, null, 'include-xids', '0', 'skip-empty-xacts', '1')
    where data = 'COMMIT' or data like 'table public.%' or data like 'table readback.%'`;
  await rows.cursor(2000, (batch) => {
    for (const { lsn, data } of batch) history.take(lsn, data);
  });
  return { name: 'the primary', lines: history.lines, times: [], logs: [] };
}

class History {
  readonly lines: string[] = [];
  /** Published tables, by themselves and by their partitions. */
  readonly #published: ReadonlyMap<string, string>;
  /** Where the last transaction that touched a published table ended. */
  #after: Lsn | undefined;
  #place = 0;
  #touched = false;
  /** Of each row: an update that leaves a long value alone does not repeat it. */
  readonly #bodies = new Map<string, string>();

  constructor(published: ReadonlyMap<string, string>) {
    this.#published = published;
  }

  take(lsn: string, data: string): void {
    if (data === 'COMMIT') this.#commit(lsn);
    else this.#change(data);
  }

  /** test_decoding gives a commit the position at which it ends. */
  #commit(lsn: string): void {
    if (this.#touched) this.#after = parseLsn(lsn);
    this.#touched = false;
    this.#place = 0;
  }

  #change(data: string): void {
    const [, name, operation, columns] = /^table (\w+\.\w+): ([A-Z]+): (.*)$/s.exec(data)!;
    const published = this.#published.get(name!);
    if (published === undefined) return;
    this.#touched = true;
    const [schema, table] = published.split('.');
    if (schema !== 'public') return;
    if (this.#after === undefined) throw new Error('a change before the first commit: call recordPrimary first');
    const row = columnsOf(columns!);
    const texts = KEYS[table!]!.map((column) => row[column]!);
    const key = texts.length === 1 ? texts[0]! : JSON.stringify(texts);
    const marker = operation === 'DELETE' ? '' : markerOf(table!, { ...row, body_md5: this.#bodyOf(key, row['body']) });
    const position = { lsn: this.#after, place: ++this.#place };
    this.lines.push(lineOf(position, changeOf(operation!, key, marker)));
  }

  #bodyOf(key: string, body: string | undefined): string | undefined {
    if (body !== undefined && body !== UNCHANGED) this.#bodies.set(key, md5(body));
    return this.#bodies.get(key);
  }
}

const UNCHANGED = 'unchanged-toast-datum';
const COLUMN = /(\w+)\[[^\]]+\]:(?:'([^']*(?:''[^']*)*)'|(\S+))/g;

/** `id[uuid]:'…' first_name[character varying]:'it''s'`; a null has no entry. */
function columnsOf(text: string): Record<string, string> {
  const entries = [...text.matchAll(COLUMN)].map(([, name, quoted, bare]): [string, string] => [
    name!,
    quoted?.replaceAll("''", "'") ?? bare!,
  ]);
  return Object.fromEntries(entries.filter(([, value]) => value !== 'null'));
}
