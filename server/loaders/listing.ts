import type { Sql } from '../db/connect.ts';
import type { OrderColumn, PageRequest } from '../store/keyset.ts';
import type { Seen } from '../store/seen.ts';
import type { Table, VisibleTo } from '../store/table.ts';
import { latest, Source, type Sort } from './source.ts';

/** What a connection is read from: the pages and the number of the rows in a scope. */
export interface Listing<Scope, Row, Field extends string> {
  /** Whose rows they are. */
  table: string;
  orders: Record<Field, OrderColumn>;
  pages: Source<PageOf<Scope, Field>, Row[]>;
  counts: Source<Scoped<Scope>, number>;
}

export interface Scoped<Scope> {
  scope: Scope;
  /** Of that, only what these see. */
  visibleTo?: VisibleTo | undefined;
}

export interface PageOf<Scope, Field extends string> extends Scoped<Scope> {
  page: PageRequest<Field>;
}

/** The rows of a table; its scopes are filters. */
export function listing<Row extends { id: string }, Filter, Field extends string, Values extends object>(
  table: Table<Row, Filter, Field, Values>,
): Listing<Filter, Row, Field> {
  return {
    table: table.name,
    orders: table.orders,
    pages: each(
      'pages',
      table.name,
      (sql, { scope, page, visibleTo }: PageOf<Filter, Field>) => table.page(sql, scope, page, visibleTo),
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
    JSON.stringify,
    async (sql, keys, send) => {
      const answers = await Promise.all(keys.map((key) => send(() => ask(sql, JSON.parse(key) as Question))));
      return { values: answers.map(({ rows }) => toValue(rows)), seen: latest(answers) };
    },
    sort,
  );
}
