import type { ClassType } from 'type-graphql';
import { declarationOf, type Declaration, type DeclaredColumn } from '../declare/declaration.ts';
import { exactJson } from '../declare/scalars.ts';
import type { Sql } from '../database/connect.ts';
import type { PageRequest, Position } from '../database/sql/keyset.ts';
import type { Seen } from '../database/sql/seen.ts';
import { Table, type Filter, type VisibleTo } from '../database/sql/table.ts';
import { kept } from '../lib/kept.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import { Source, type Send, type Sort } from './batcher.ts';

/** How the rows of a declared table are read and written. */
export interface Rows<Row extends { id: string }> {
  declaration: Declaration<Row>;
  table: Table<Row>;
  /** By the table's `byIds`; null where there is none. */
  byId: Source<string, Row | null>;
  all: Listing<Filter, Row>;
  /** By the JSON array of what they have in these columns, which are unique. */
  by: (columns: readonly DeclaredColumn[]) => Source<string, Row | null>;
  /** Those under the row that the columns name. */
  under: (columns: readonly DeclaredColumn[]) => Listing<Parent, Row>;
}

/** What a connection is read from: the pages and the number of the rows in a scope. */
export interface Listing<Scope, Row> {
  pages: Source<PageOf<Scope>, Row[]>;
  counts: Source<Scoped<Scope>, number>;
}

export interface Scoped<Scope> {
  scope: Scope;
  /** Of that, only what these see. */
  visibleTo?: VisibleTo | undefined;
}

export interface PageOf<Scope> extends Scoped<Scope> {
  page: PageRequest;
}

/** The value of the column that names a parent; of several, the JSON array of theirs. */
export type Parent = string | null;

const known = new WeakMap<object, unknown>();

/** Once for each class: whoever asks shares its batches. */
export function rowsOf<Row extends { id: string }>(type: ClassType<Row>): Rows<Row> {
  return kept(known as WeakMap<object, Rows<Row>>, type, makeRows<Row>);
}

function makeRows<Row extends { id: string }>(type: ClassType<Row>): Rows<Row> {
  const declaration = declarationOf(type);
  const table = new Table<Row>(declaration);
  const listings = new Map<string, Listing<Parent, Row>>();
  const sources = new Map<string, Source<string, Row | null>>();
  return {
    declaration,
    table,
    byId: byId(table),
    all: listing(table),
    // Whoever asks by the same columns shares what is made for them.
    by: (columns) => kept(sources, fieldsOf(columns), () => byColumns(table, columns)),
    under: (columns) => kept(listings, fieldsOf(columns), () => listingUnder(table, columns)),
  };
}

const byId = <Row extends { id: string }>(table: Table<Row>) =>
  new Source<string, Row | null>(
    `${table.name} by id`,
    (id) => id,
    (sql, ids) => table.byIds(sql, ids),
    'keys',
    table.name,
  );

const byColumns = <Row extends { id: string }>(table: Table<Row>, columns: readonly DeclaredColumn[]) =>
  new Source<string, Row | null>(
    `${table.name} by ${fieldsOf(columns)}`,
    (texts) => texts,
    (sql, keys) =>
      table.byColumns(
        sql,
        columns,
        keys.map((key) => JSON.parse(key) as string[]),
      ),
    'keys',
    table.name,
  );

const fieldsOf = (columns: readonly DeclaredColumn[]) => columns.map(({ field }) => field).join(', ');

/** The rows of a table; its scopes are filters. */
export function listing<Row extends { id: string }>(table: Table<Row>): Listing<Filter, Row> {
  return {
    pages: each(
      'pages',
      table.name,
      (sql, { scope, page, visibleTo }: PageOf<Filter>) => table.page(sql, scope, page, visibleTo),
      (rows) => rows,
    ),
    counts: each(
      'counts',
      table.name,
      (sql, { scope, visibleTo }: Scoped<Filter>) => table.count(sql, scope, visibleTo),
      (rows) => rows[0]?.count ?? 0,
    ),
  };
}

/** Distinct questions are statements of their own, all at once; equal ones are one. */
function each<Question, Row, Value>(
  sort: Sort,
  table: string,
  ask: (sql: Sql, question: Question) => Promise<Seen<Row>>,
  toValue: (rows: Row[]) => Value,
): Source<Question, Value> {
  return new Source(
    `${sort} of ${table}`,
    exactJson,
    async (sql, keys, send) => {
      const answers = await Promise.all(keys.map((key) => send(() => ask(sql, JSON.parse(key) as Question))));
      return { rows: answers.map(({ rows }) => toValue(rows)), seen: latest(answers) };
    },
    sort,
    table,
  );
}

/** The rows of a table by the columns that name a parent: all that ask at once share a statement. */
function listingUnder<Row extends { id: string }>(
  table: Table<Row>,
  parents: readonly DeclaredColumn[],
): Listing<Parent, Row> {
  const named = fieldsOf(parents);
  return {
    pages: new Source(
      `pages of ${table.name} by ${named}`,
      JSON.stringify,
      (sql, keys, send) => pagesUnder(table, parents, sql, keys, send),
      'pages',
      table.name,
    ),
    counts: new Source(
      `counts of ${table.name} by ${named}`,
      JSON.stringify,
      (sql, keys, send) => countsUnder(table, parents, sql, keys, send),
      'counts',
      table.name,
    ),
  };
}

/** Pages of one shape are one statement. In one document they mostly are: a field's arguments are the same under each parent. */
async function pagesUnder<Row extends { id: string }>(
  table: Table<Row>,
  parents: readonly DeclaredColumn[],
  sql: Sql,
  keys: string[],
  send: Send,
): Promise<Seen<Row[]>> {
  const questions = keys.map((key) => JSON.parse(key) as PageOf<Parent>);
  const pages = new Map<PageOf<Parent>, Row[]>(questions.map((question) => [question, []]));
  const shapes = [...Map.groupBy(questions, ({ page, visibleTo }) => `${shapeOf(page)} ${ruleOf(visibleTo)}`).values()];
  const answers = await Promise.all(shapes.map((shape) => send(() => table.pagesUnder(sql, parents, shape))));
  for (const [index, { rows }] of answers.entries())
    for (const row of rows) pages.get(shapes[index]![row.$place]!)!.push(row);
  return { rows: [...pages.values()], seen: latest(answers) };
}

const shapeOf = ({ field, descending, backward, after, before }: PageRequest) =>
  [field, descending, backward, endOf(after), endOf(before)].join();

const endOf = (end: Position | null) => (end === null ? 'open' : end.value === null ? 'null' : 'value');

/** Viewers differ from question to question; the rule does not, within a statement. */
const ruleOf = (to: VisibleTo | undefined) => JSON.stringify(typeof to === 'object' ? { ...to, sub: '' } : to);

async function countsUnder<Row extends { id: string }>(
  table: Table<Row>,
  parents: readonly DeclaredColumn[],
  sql: Sql,
  keys: string[],
  send: Send,
): Promise<Seen<number>> {
  const questions = keys.map((key) => JSON.parse(key) as Scoped<Parent>);
  const counts = new Map<Scoped<Parent>, number>();
  const groups = [...Map.groupBy(questions, ({ visibleTo }) => ruleOf(visibleTo)).values()];
  const answers = await Promise.all(
    groups.map(async (group) => {
      const { rows, seen } = await send(() => table.countsUnder(sql, parents, group));
      for (const { $place, count } of rows) counts.set(group[$place]!, count);
      return { seen };
    }),
  );
  return { rows: questions.map((question) => counts.get(question) ?? 0), seen: latest(answers) };
}

/** A position at or after everything that any of the reads could see. */
const latest = (reads: readonly { seen: Lsn }[]) => reads.map(({ seen }) => seen).reduce(later, 0n);
