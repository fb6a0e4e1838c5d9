import type { Sql } from '../database/connect.ts';
import type { PageRequest, Position } from '../database/sql/keyset.ts';
import type { Table, VisibleTo } from '../database/sql/table.ts';
import type { Listing, PageOf, Scoped } from './listing.ts';
import { latest, Source, type Batch, type Send } from './batcher.ts';

/** The rows of a table that have a parent; its scopes are the parents' ids, and all that ask at once share a statement. */
export function listingUnder<Row extends { id: string }>(table: Table<Row>, parent: string): Listing<string, Row> {
  return {
    pages: new Source(
      `pages of ${table.name} by ${parent}`,
      JSON.stringify,
      (sql, keys, send) => pagesUnder(table, parent, sql, keys, send),
      'pages',
    ),
    counts: new Source(
      `counts of ${table.name} by ${parent}`,
      JSON.stringify,
      (sql, keys, send) => countsUnder(table, parent, sql, keys, send),
      'counts',
    ),
  };
}

/** Pages of one shape are one statement. In one document they mostly are: a field's arguments are the same under each parent. */
async function pagesUnder<Row extends { id: string }>(
  table: Table<Row>,
  parent: string,
  sql: Sql,
  keys: string[],
  send: Send,
): Promise<Batch<Row[]>> {
  const questions = keys.map((key) => JSON.parse(key) as PageOf<string>);
  const values = new Map<PageOf<string>, Row[]>(questions.map((question) => [question, []]));
  const shapes = [...Map.groupBy(questions, ({ page, visibleTo }) => `${shapeOf(page)} ${ruleOf(visibleTo)}`).values()];
  const answers = await Promise.all(shapes.map((shape) => send(() => table.pagesUnder(sql, parent, shape))));
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
  parent: string,
  sql: Sql,
  keys: string[],
  send: Send,
): Promise<Batch<number>> {
  const questions = keys.map((key) => JSON.parse(key) as Scoped<string>);
  const counts = new Map<Scoped<string>, number>();
  const groups = [...Map.groupBy(questions, ({ visibleTo }) => ruleOf(visibleTo)).values()];
  const answers = await Promise.all(
    groups.map(async (group) => {
      const { rows, seen } = await send(() => table.countsUnder(sql, parent, group));
      for (const { $place, count } of rows) counts.set(group[$place]!, count);
      return { seen };
    }),
  );
  return { values: questions.map((question) => counts.get(question) ?? 0), seen: latest(answers) };
}
