import { block, literal } from '../database/sql/columns.ts';
import { isDeepStrictEqual } from 'node:util';
import { quoted, type Sql } from '../database/connect.ts';
import { knownTables, renamedIn, type KnownTable } from './drift.ts';
import { watch } from './log-state.ts';
import { fits } from './obstacles.ts';
import { partsOf, shapesOf, type ColumnShape, type TableShape } from './shapes.ts';

/** What a replica's table is changed by, and what is said of it. */
interface Following {
  table: string;
  statements: string[];
  lines: string[];
}

/**
 * Brings the tables of a replica along with what the primary sends already, because somebody has changed it there by
 * other ways than these files: else the apply worker would stop at the first row, for all tables. Both are the
 * transactions of a migration. What no statement can bring along is left, to be refused. Returns what was done.
 */
export async function follow(
  primary: Sql,
  sent: readonly TableShape[],
  replica: Sql,
  subscribed: readonly string[],
): Promise<string[]> {
  const known = (await knownTables(primary)).filter(({ table }) => subscribed.includes(table));
  const taking = await shapesOf(
    replica,
    known.map(({ table }) => table),
  );
  const lines: string[] = [];
  for (const one of known) {
    const from = sent.find(({ table }) => table === one.now);
    const to = taking.find(({ table }) => table === one.table);
    if (!from || !to) continue;
    const following = followingOf(one, from, to);
    if (following.statements.length === 0) continue;
    for (const statement of following.statements) await replica.unsafe(statement);
    // Its triggers know its name, the columns of its key, and those that are logged as texts.
    await watch(
      replica,
      following.table,
      replica`exists (
      select from pg_trigger where tgrelid = i.indrelid and tgname = 'readback_change')`,
    );
    lines.push(...following.lines);
  }
  return lines;
}

function followingOf({ table: former, columns }: KnownTable, sent: TableShape, taking: TableShape): Following {
  const { table } = sent;
  const [schema, name] = partsOf(table);
  const isMoved = former !== table && partsOf(former)[0] === schema;
  if (former !== table && !isMoved) return { table: former, statements: [], lines: [] };
  const alter = (what: string) => `alter table ${table} ${what}`;
  const renamed = renamedIn(columns, sent.columns);
  const parts = sent.columns.map((column) => {
    const was = columns.find(({ name: one }) => one === (renamed.get(column.name) ?? column.name));
    return was && isAsBefore(was, column) ? UNCHANGED : columnFollowing(column, was, taking.columns);
  });
  const kept = new Set([...sent.columns.map(({ name: one }) => one), ...renamed.values()]);
  const gone = new Set(columns.flatMap(({ name: one }) => (kept.has(one) ? [] : [one])));
  const unsent = taking.columns.filter((own) => gone.has(own.name) && mustBeGiven(own));
  return {
    table,
    statements: [
      ...(isMoved ? [`alter table ${former} rename to ${name}`] : []),
      ...parts.flatMap(({ before = [], change }) => [...before, ...change.map(alter)]),
      ...unsent.map((own) => alter(`alter column ${quoted(own.name)} drop not null`)),
    ],
    lines: [
      ...(isMoved ? [`${former} is called ${table}, as on the primary`] : []),
      ...parts.flatMap(({ line }) => (line === undefined ? [] : [`${table}.${line}`])),
      ...unsent.map((own) => `${table}.${own.name} may be null, as the primary sends it no more`),
    ],
  };
}

const mustBeGiven = ({ isNullable, isGenerated, default: value }: ColumnShape) =>
  !isNullable && !isGenerated && value === null;

interface ColumnFollowing {
  /** Statements about its type. */
  before?: string[];
  /** What the table is altered by. */
  change: string[];
  line?: string;
}

const UNCHANGED: ColumnFollowing = { change: [] };

/** What is otherwise on the replica alone is not the application's doing. */
const isAsBefore = (was: ColumnShape, { name, type, labels, isNullable }: ColumnShape) =>
  was.name === name && was.type === type && was.isNullable === isNullable && isDeepStrictEqual(was.labels, labels);

/** `was`: as it was when the tables were migrated last; undefined: it is new. */
function columnFollowing(
  sent: ColumnShape,
  was: ColumnShape | undefined,
  taking: readonly ColumnShape[],
): ColumnFollowing {
  const own = taking.find(({ name }) => name === sent.name);
  const column = quoted(sent.name);
  if (!own && was && taking.some(({ name }) => name === was.name))
    return { change: [`rename column ${quoted(was.name)} to ${column}`], line: `${sent.name} was ${was.name}` };
  if (!own) return added(sent);
  const may = sent.isNullable && !own.isNullable ? [`alter column ${column} drop not null`] : [];
  if (sent.labels && own.labels)
    return {
      before: labelsBesides(sent, own),
      change: may,
      ...(fits(sent, own) ? {} : { line: `${sent.name} has the values of the primary` }),
    };
  if (fits(sent, own) || !fits(own, sent)) return { change: may };
  return { change: [...may, `alter column ${column} type ${sent.type}`], line: `${sent.name} is ${sent.type}` };
}

/**
 * Rows that are there already, and those on their way that were sent without the column, hold on the primary what it was
 * added with. A default that is another for each row has left no trace of what they hold.
 */
function added({ name, type, labels, fill, default: value }: ColumnShape): ColumnFollowing {
  const isUnknown = value !== null && fill === null;
  const verify = ' Rows that were there before may differ in it: run readback verify before it is declared.';
  return {
    before: labels ? [madeType(type.replace(/(?:\[\])+$/, ''), labels)] : [],
    change: [`add column ${quoted(name)} ${type}${fill === null ? '' : ` default ${literal(fill)}::${type}`}`],
    line: `${name} is new, as on the primary: clients have it once it is declared.${isUnknown ? verify : ''}`,
  };
}

const madeType = (type: string, labels: readonly string[]) =>
  block(`create type ${type} as enum (${labels.map(literal).join(', ')}); exception when duplicate_object then null;`);

/** Each after the one that it follows on the primary: texts are sorted by that. */
function labelsBesides({ type, labels }: ColumnShape, own: ColumnShape): string[] {
  const element = type.replace(/(?:\[\])+$/, '');
  return labels!.flatMap((label, index) => {
    if (own.labels!.includes(label)) return [];
    const place = index === 0 ? `before ${literal(own.labels![0] ?? '')}` : `after ${literal(labels![index - 1]!)}`;
    return [`alter type ${element} add value if not exists ${literal(label)} ${place}`];
  });
}
