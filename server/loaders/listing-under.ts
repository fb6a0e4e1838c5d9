import type { Sql } from '../db/connect.ts';
import type { PageRequest } from '../store/keyset.ts';
import type { Table } from '../store/table.ts';
import type { Batch } from './batcher.ts';
import type { Listing, PageOf } from './listing.ts';
import { latest, Source, UNBOUNDED } from './source.ts';

/** The rows of a table that have a parent and match the filter; its scopes are the parents' ids, and all that ask at once share a statement. */
export function listingUnder<Row extends { id: string }, Filter, Field extends string, Values extends object>(
  table: Table<Row, Filter, Field, Values>,
  parent: keyof Row & string,
  filter: Filter = {} as Filter,
): Listing<string, Row, Field> {
  return {
    orders: table.orders,
    pages: new Source(
      `pages of ${table.name} by ${parent}`,
      JSON.stringify,
      (sql, keys) => pagesUnder(table, parent, filter, sql, keys),
      UNBOUNDED,
    ),
    counts: new Source(
      `counts of ${table.name} by ${parent}`,
      (id) => id,
      (sql, ids) => countsUnder(table, parent, filter, sql, ids),
      UNBOUNDED,
    ),
  };
}

type Under<Row extends { id: string }, Filter, Field extends string> = Pick<
  Table<Row, Filter, Field, never>,
  'pagesUnder' | 'countsUnder'
>;

/** Pages of one shape are one statement. In one document they mostly are: a field's arguments are the same under each parent. */
async function pagesUnder<Row extends { id: string }, Filter, Field extends string>(
  table: Under<Row, Filter, Field>,
  parent: string,
  filter: Filter,
  sql: Sql,
  keys: string[],
): Promise<Batch<Row[]>> {
  const questions = keys.map((key) => JSON.parse(key) as PageOf<string, Field>);
  const values = new Map<PageOf<string, Field>, Row[]>(questions.map((question) => [question, []]));
  const shapes = [...Map.groupBy(questions, ({ page }) => shapeOf(page)).values()];
  const answers = await Promise.all(shapes.map((shape) => table.pagesUnder(sql, parent, shape, filter)));
  for (const [index, { rows }] of answers.entries())
    for (const row of rows) values.get(shapes[index]![row.place]!)!.push(row);
  return { values: [...values.values()], seen: latest(answers) };
}

const shapeOf = <Field extends string>({ field, descending, backward, after, before }: PageRequest<Field>) =>
  [field, descending, backward, after !== null, before !== null].join();

async function countsUnder<Row extends { id: string }, Filter>(
  table: Under<Row, Filter, never>,
  parent: string,
  filter: Filter,
  sql: Sql,
  ids: string[],
): Promise<Batch<number>> {
  const { rows, seen } = await table.countsUnder(sql, parent, ids, filter);
  const counts = new Map(rows.map((row) => [row.parent, row.count]));
  return { values: ids.map((id) => counts.get(id) ?? 0), seen };
}
