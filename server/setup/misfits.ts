import { quoted, type Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import { breaking } from './breaking.ts';
import { obstacleInWords, obstacles, type Obstacle } from './obstacles.ts';
import { publishedBy, shapesOf, tablesOf, type ColumnShape, type TableShape } from './shapes.ts';

/** The primary in the transaction that has run its part, and what it sent and had before. */
interface PrimaryState {
  sql: Sql;
  before: TableShape[];
  /** The tables that it sent, with all of their columns. */
  existing: TableShape[];
}

/** A replica in the transaction that has run its part. */
export interface ReplicaState {
  name: string;
  sql: Sql;
  /** Tables that it has a subscription to. */
  subscribed: string[];
  /** Those tables, as they were before. */
  earlier: TableShape[];
  /** What was in the way before this step, and is no reason not to take it. */
  stood: Obstacle[];
  /** It has yet to apply what was sent before. */
  isBehind: boolean;
}

/** @throws SetupError with a line for each thing that would break replication, and its remedy. */
export async function refuseMisfits(version: string, primary: PrimaryState, replicas: ReplicaState[]): Promise<void> {
  const after = await publishedBy(primary.sql);
  const added = newColumns(primary.existing, primary.before, after);
  const lines = (await breaking(primary.sql, primary.before, after)).map(
    (fault) => `  primary: ${withoutPublic(fault)}`,
  );
  for (const replica of replicas) {
    const { sql, subscribed } = replica;
    const taking = await shapesOf(sql, [...new Set(tablesOf([...primary.before, ...after, ...replica.earlier]))]);
    const problems = shapeProblems(primary.before, after, taking, replica);
    const held = added.filter(({ table }) => subscribed.includes(table));
    problems.push(...(await fillObstacles(primary.sql, sql, held, taking)));
    lines.push(...problems.map((problem) => `  ${replica.name}: ${withoutPublic(problem)}`));
  }
  if (lines.length === 0) return;
  throw new SetupError(`Migration ${version} would break replication; nothing of it was changed.\n${lines.join('\n')}`);
}

const withoutPublic = (text: string) => text.replaceAll(/\bpublic\./g, '');

/**
 * The replica commits first: until the primary has committed, what it sent before keeps coming. And what it sent before
 * that, as far as the replica is behind.
 */
function shapeProblems(
  before: TableShape[],
  after: TableShape[],
  taking: TableShape[],
  { subscribed, earlier, stood, isBehind }: ReplicaState,
): string[] {
  const known = stood.map(obstacleInWords);
  const inTheWayOf = (sent: TableShape[], told: string[]) =>
    obstacles(sent, taking)
      .map(obstacleInWords)
      .filter((one) => !told.includes(one) && !known.includes(one));
  const lasting = inTheWayOf(after, []);
  const passing = subscribed.length === 0 ? [] : inTheWayOf(before, lasting);
  const lagging = isBehind ? inTheWayOf(earlier, [...lasting, ...passing]) : [];
  return [...lasting, ...passing.map((one) => `${one} ${SPLIT}`), ...lagging.map((one) => `${one} ${WAIT}`)];
}

const SPLIT =
  'Or, as the primary commits second and sends what it did until then: leave its part here, and give the part of the replica the next number.';
const WAIT =
  'Or, as the replica has yet to apply what was sent before: wait until it has, or enable its subscription, and run this again.';

/** A column that the publication sends from now on, of a table that the replicas hold already. */
interface NewColumn {
  table: string;
  column: ColumnShape;
  /** The statement that added the column was in this transaction. */
  isAdded: boolean;
  /** A statement of this transaction has written the whole table again, which replication does not see. */
  isRewritten: boolean;
}

/**
 * The columns that replication begins to send with this transaction. Rows that are there already are not sent again:
 * on both sides they must hold the same in such a column, whatever each side's `alter table` put there.
 */
function newColumns(existing: TableShape[], before: TableShape[], after: TableShape[]): NewColumn[] {
  return after.flatMap(({ table, file, columns }) => {
    const sent = before.find((other) => other.table === table);
    const whole = existing.find((other) => other.table === table);
    if (!sent || !whole) return [];
    return columns
      .filter(({ name }) => !has(sent, name))
      .map((column) => ({ table, column, isAdded: !has(whole, column.name), isRewritten: file !== whole.file }));
  });
}

const has = ({ columns }: TableShape, name: string) => columns.some((column) => column.name === name);

/** What of the new columns would differ in rows that are there; asked in the primary's transaction, before its end. */
async function fillObstacles(primary: Sql, replica: Sql, added: NewColumn[], taking: TableShape[]): Promise<string[]> {
  const problems: string[] = [];
  for (const one of added) {
    const own = taking.find(({ table }) => table === one.table)?.columns.find(({ name }) => name === one.column.name);
    const problem = own && (await fillObstacle(primary, replica, one, own));
    if (problem !== undefined) problems.push(`${one.table}.${one.column.name}: ${problem}`);
  }
  return problems;
}

async function fillObstacle(
  primary: Sql,
  replica: Sql,
  added: NewColumn,
  own: ColumnShape,
): Promise<string | undefined> {
  if (!(await isUniform(replica, own))) {
    return 'rows that the replica has, and rows on their way to it, would get different values: give it a constant default, in the statement that adds it.';
  }
  if (added.isRewritten) {
    return (await hasRows(primary, added.table))
      ? 'its default is another one for each row, and rows that are there would get other values on the replica: add it without a default, publish it, fill it by an update, and set the default last.'
      : undefined;
  }
  if (added.isAdded && added.column.fill !== own.fill) {
    return `rows that are there hold ${show(added.column.fill)} on the primary and ${show(own.fill)} on the replica: give both the same constant default.`;
  }
  return (await hasUnsent(primary, added, own.fill))
    ? 'rows that are there hold values which replication would not send: publish it first, then update those rows, in the same file.'
    : undefined;
}

const show = (value: string | null) => (value === null ? 'null' : `'${value}'`);

/** Rows that were there hold the fill; those that arrive before the primary sends the column get the default. */
async function isUniform(replica: Sql, { default: expression, fill, type }: ColumnShape): Promise<boolean> {
  if (expression === null || fill === null) return expression === null && fill === null;
  const [row] = await replica.unsafe<[{ value: string }]>(`select (${expression})::${type}::text as value`);
  return row.value === fill;
}

async function hasRows(primary: Sql, table: string): Promise<boolean> {
  const [row] = await primary.unsafe<[{ found: boolean }]>(`select exists (select from ${table}) as found`);
  return row.found;
}

/**
 * A row holds something else than the fill, and was not written after the column was published: then nothing sends it.
 * Of what this transaction wrote, cmin tells the order. An added column with no rows written since needs no look.
 */
async function hasUnsent(primary: Sql, { table, column, isAdded }: NewColumn, fill: string | null): Promise<boolean> {
  if (isAdded && !(await hasWritten(primary, table))) return false;
  // A writer that has the old publication in view must end before the look, and none may begin.
  await primary.unsafe(`lock table ${table} in share mode`);
  const [row] = await primary<[{ found: boolean }]>`
    select exists (
      select from ${primary.unsafe(table)} t
      left join pg_publication_rel p on p.prrelid = ${table}::regclass and p.xmin = pg_current_xact_id()::xid
        and p.prpubid = (select oid from pg_publication where pubname = 'readback')
      where t.${primary.unsafe(quoted(column.name))}::text is distinct from ${fill}
        and not (t.xmin = pg_current_xact_id()::xid and t.cmin::text::bigint > coalesce(p.cmin::text::bigint, -1))
    ) as found`;
  return row.found;
}

async function hasWritten(primary: Sql, table: string): Promise<boolean> {
  const [row] = await primary<[{ written: boolean }]>`
    select n_tup_ins + n_tup_upd > 0 as written from pg_stat_xact_user_tables where relid = ${table}::regclass`;
  return row.written;
}
