import type { DeclaredColumn } from '../declare/declaration.ts';
import type { Sql } from '../database/connect.ts';
import type { PageRequest, Position } from '../database/sql/keyset.ts';
import type { Table, VisibleTo } from '../database/sql/table.ts';
import type { Listing, PageOf, Scoped } from './listing.ts';
import { latest, Source, type Batch, type Send } from './batcher.ts';

/** The value of the column that names a parent; of several, the JSON array of theirs. */
export type Parent = string | null;

/** The rows of a table by the columns that name a parent: all that ask at once share a statement. */
export function listingUnder<Row extends { id: string }>(
  table: Table<Row>,
  parents: readonly DeclaredColumn[],
): Listing<Parent, Row> {
  const named = parents.map(({ field }) => field).join(', ');
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
): Promise<Batch<Row[]>> {
  const questions = keys.map((key) => JSON.parse(key) as PageOf<Parent>);
  const values = new Map<PageOf<Parent>, Row[]>(questions.map((question) => [question, []]));
  const shapes = [...Map.groupBy(questions, ({ page, visibleTo }) => `${shapeOf(page)} ${ruleOf(visibleTo)}`).values()];
  const answers = await Promise.all(shapes.map((shape) => send(() => table.pagesUnder(sql, parents, shape))));
  for (const [index, { rows }] of answers.entries())
    for (const row of rows) values.get(shapes[index]![row.$place]!)!.push(row);
  return { values: [...values.values()], seen: latest(answers) };
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
): Promise<Batch<number>> {
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
  return { values: questions.map((question) => counts.get(question) ?? 0), seen: latest(answers) };
}
