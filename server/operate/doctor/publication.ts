import { isDeepStrictEqual } from 'node:util';
import type { Sql } from '../../database/connect.ts';
import { toShow, whatIsHidden, type Hidden } from '../../setup/stops.ts';
import { publishedBy, publishedRelations, shapesOf, tablesOf, type TableShape } from '../../setup/shapes.ts';
import { kind, type Finding } from './finding.ts';
import type { Looked } from './servers.ts';

/** What the primary sends. */
export interface PublicationFacts {
  /** null: there is none. */
  publication: { insert: boolean; update: boolean; delete: boolean; truncate: boolean } | null;
  published: TableShape[];
  /** The same tables, with all columns. */
  whole: TableShape[];
  /** Tables of the publication of which no update or delete is possible. */
  withoutIdentity: string[];
  /** What row level security hides from the server, and from the logins of the replicas. */
  hidden: Hidden[];
  /** Tables that replicas hold, and that are no more on the primary. */
  gone: string[];
}

/** What each replica has that should be sent. */
interface Holding {
  /** Tables with the trigger that logs changes. */
  watched: string[];
  shapes: TableShape[];
}

export async function lookAtPublication(sql: Sql): Promise<PublicationFacts> {
  const [publication] = await sql<NonNullable<PublicationFacts['publication']>[]>`
    select pubinsert as insert, pubupdate as update, pubdelete as delete, pubtruncate as truncate
    from pg_publication where pubname = 'readback'`;
  const published = await publishedBy(sql);
  const whole = await shapesOf(sql, tablesOf(published));
  return {
    publication: publication ?? null,
    published,
    whole,
    withoutIdentity: await withoutIdentity(sql),
    // Known once the replicas have said as whom they read, and what they hold.
    hidden: [],
    gone: [],
  };
}

/** Neither a key, nor an index in its place, nor the whole row: an update or a delete there is an error. */
async function withoutIdentity(sql: Sql): Promise<string[]> {
  const rows = await sql<{ table: string }[]>`
    select format('%I.%I', p.schemaname, p.tablename) as table from ${publishedRelations(sql)}
    where p.pubname = 'readback' and case c.relreplident
      when 'f' then false
      when 'd' then not exists (select from pg_index where indrelid = c.oid and indisprimary)
      when 'i' then not exists (select from pg_index where indrelid = c.oid and indisreplident)
      else true end
    order by 1`;
  return rows.map(({ table }) => table);
}

/** Of the tables that replicas hold. */
export async function goneFrom(sql: Sql, held: readonly string[]): Promise<string[]> {
  const rows = await sql<{ table: string }[]>`
    select distinct name as table from jsonb_array_elements_text(${sql.json([...held])}) as t(name)
    where to_regclass(name) is null order by 1`;
  return tablesOf(rows);
}

export function checkPublication(primary: Looked<PublicationFacts>, replicas: Looked<Holding>[]): Finding[] {
  const { name, details, basics } = primary;
  if (!details || !basics!.isSetUp) return [];
  const { publication, published, withoutIdentity: unkeyed, hidden, gone } = details;
  const holdings = replicas.flatMap((replica) => replica.details ?? []);
  const held = ['readback.heartbeat', ...new Set(holdings.flatMap(({ watched }) => watched))];
  if (!publication) return [missing(name, held)];
  const unsent = Object.entries(publication).flatMap(([operation, isSent]) => (isSent ? [] : [operation]));
  const sent = new Set(tablesOf(published));
  return [
    ...(unsent.length > 0 ? [unsentOperations(name, unsent)] : []),
    ...hidden.map((one) => hiddenRows(name, one)),
    ...unkeyed.map((table) => withoutKey(name, table)),
    ...held
      .filter((table) => !sent.has(table))
      .map((table) => (gone.includes(table) ? dropped(name, table) : unpublished(name, table))),
    ...holdings.flatMap((holding) => unsentColumns(name, details, holding)),
  ].filter(isFirst);
}

/** Two replicas may show the same fault of the primary. */
const isFirst = (finding: Finding, index: number, all: Finding[]) =>
  all.findIndex(({ check, values }) => check === finding.check && isDeepStrictEqual(values, finding.values)) === index;

/** Columns that both sides have, and that are not sent: on the replica they stay as they are, but for generated ones. */
function unsentColumns(server: string, { published, whole }: PublicationFacts, { shapes }: Holding): Finding[] {
  const columnsOf = (all: TableShape[], table: string) => all.find((shape) => shape.table === table)?.columns ?? [];
  return published.flatMap(({ table, columns }) => {
    const had = new Set(columnsOf(whole, table).map(({ name }) => name));
    const sent = new Set(columns.map(({ name }) => name));
    return columnsOf(shapes, table)
      .filter(({ name, isGenerated }) => had.has(name) && !sent.has(name) && !isGenerated)
      .map(({ name }) => unsentColumn(server, table, name));
  });
}

const missing = kind('publication-missing', (held: string[]) => ({
  found: 'there is no publication readback',
  expected: 'one of the tables that the replicas hold',
  remedy:
    `Run there: create publication readback for table ${held.join(', ')}; with the column lists of sql/primary. ` +
    'What was written while it was away is lost to the replicas: drop and add each again (readback replica drop, readback migrate).',
}));

const unsentOperations = kind('publication-operations', (operations: string[]) => ({
  found: `the publication does not send ${operations.join(', ')}`,
  expected: 'all operations: else the replicas keep what the primary has changed',
  remedy: `Run there: alter publication readback set (publish = 'insert, update, delete, truncate'); then readback verify, for what was not sent.`,
}));

/** Of either side. */
export const hiddenRows = kind('row-security', (hidden: Hidden) => ({
  found: whatIsHidden(hidden),
  expected: 'all rows: a read or a copy that would leave some out fails instead',
  remedy: `${toShow(hidden)} Then readback verify, for what was left out before.`,
}));

const withoutKey = kind('replica-identity', (table: string) => ({
  found: `${table} has no replica identity, so every update and delete of it fails`,
  expected: 'a primary key, by which the replica finds the row',
  remedy: `Give it a primary key, and run there: alter table ${table} replica identity default;`,
}));

const unpublished = kind('table-not-published', (table: string) => ({
  found: `${table} is not in the publication, and replicas hold it`,
  expected: 'every table that replicas hold is sent',
  remedy: `Run there: alter publication readback add table ${table}; with its column list of sql/primary. Then readback migrate copies it again.`,
}));

const dropped = kind('table-not-published', (table: string) => ({
  severity: 'warning',
  found: `${table} is gone from the primary, and replicas hold it`,
  expected: 'no tables but those of the primary',
  remedy: `Run readback add --undo ${table.replace(/^public\./, '')} if it is declared still, then readback migrate, which drops it on the replicas.`,
}));

const unsentColumn = kind('column-not-published', (table: string, column: string) => ({
  found: `${table}.${column} is on both sides, and the publication's column list leaves it out`,
  expected: 'every column of the replica that the primary has is sent',
  remedy: `Publish the table with it (drop it from the publication and add it with all columns, in one transaction), or drop the column on the replica. Rows written before are then to be copied again.`,
}));
