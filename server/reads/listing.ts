import { exactJson } from '../declare/scalars.ts';
import type { Sql } from '../database/connect.ts';
import type { PageRequest } from '../database/sql/keyset.ts';
import type { Seen } from '../database/sql/seen.ts';
import type { Filter, Table, VisibleTo } from '../database/sql/table.ts';
import { latest, Source, type Sort } from './batcher.ts';

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
      return { values: answers.map(({ rows }) => toValue(rows)), seen: latest(answers) };
    },
    sort,
    table,
  );
}
