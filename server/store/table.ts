import { uuidArray, type Fragment, type Sql, type Statement } from '../db/connect.ts';
import { keyset, type OrderColumn, type PageRequest } from './keyset.ts';
import { split, type Seen, type WithSeen } from './seen.ts';

/** What the statements over one table differ in. */
export interface TableDefinition<Filter, Field extends string> {
  /** In SQL. */
  name: string;
  /** What messages call one of its rows. */
  one: string;
  columns: (sql: Sql) => Fragment;
  /** What pages can be ordered by, each with an index that ends in the id. */
  orders: Record<Field, OrderColumn>;
  /** The conditions of a filter, over alias t; null for what it leaves open. */
  matches: (sql: Sql, filter: Filter) => (Fragment | null)[];
}

/** Of the rows that are private while their fields have these values only the viewer's own; or none at all. */
export type VisibleTo =
  | {
      /** The field that has the owner's id. */
      owner: string;
      /** null: nobody is signed in. */
      viewer: string | null;
      privateWhile: Readonly<Record<string, string | number | boolean | null>>;
    }
  | 'nobody';

/** The rows under the parent that has the id `scope`, or the number of them. */
export interface Under {
  scope: string;
  visibleTo?: VisibleTo | undefined;
}

interface PageUnder<Field extends string> extends Under {
  page: PageRequest<Field>;
}

/** The statements that all tables share. `Values` are what can be written. */
export class Table<Row extends { id: string }, Filter, Field extends string, Values extends object> {
  readonly name: string;
  readonly one: string;
  readonly orders: Record<Field, OrderColumn>;
  readonly #columns: (sql: Sql) => Fragment;
  readonly #matches: (sql: Sql, filter: Filter) => (Fragment | null)[];

  constructor({ name, one, columns, orders, matches }: TableDefinition<Filter, Field>) {
    this.name = name;
    this.one = one;
    this.#columns = columns;
    this.orders = orders;
    this.#matches = matches;
  }

  async byIds(sql: Sql, ids: readonly string[]): Promise<Seen<Row>> {
    const result = await sql<WithSeen<Row>[]>`
      select s.seen, ${this.#columns(sql)} from readback.seen() s(seen)
      left join ${sql(this.name)} t on t.id = any(${uuidArray(ids)}::uuid[])`;
    return split(result, 'id');
  }

  /** One row more than asked for, where there is one: it says that another page follows. */
  async page(sql: Sql, filter: Filter, page: PageRequest<Field>, to?: VisibleTo): Promise<Seen<Row>> {
    const { within, order } = keyset(sql, this.orders[page.field], page, {
      after: page.after && sql`(${page.after.value}, ${page.after.id})`,
      before: page.before && sql`(${page.before.value}, ${page.before.id})`,
    });
    const result = await sql<WithSeen<Row>[]>`
      select s.seen, t.* from readback.seen() s(seen) left join (
        select ${this.#columns(sql)} from ${sql(this.name)} t
        where ${all(sql, [...this.#matches(sql, filter), visible(sql, to), ...within])} order by ${order} limit ${page.limit + 1}
      ) t on true order by ${order}`;
    return split(result, 'id');
  }

  async count(sql: Sql, filter: Filter, to?: VisibleTo): Promise<Seen<{ count: number }>> {
    const result = await sql<WithSeen<{ count: number }>[]>`
      select readback.seen() as seen, count(*)::int as count from ${sql(this.name)} t
      where ${all(sql, [...this.#matches(sql, filter), visible(sql, to)])}`;
    return split(result, 'count');
  }

  /**
   * The pages under many parents, each one row longer as above, and each row with the place of its page. The pages are
   * of one shape: all in one order and direction, bounded at the same ends, and visible by one rule. Each reads no more rows than it has,
   * from an index on the parent, the order and the id.
   */
  async pagesUnder(
    sql: Sql,
    parent: string,
    pages: PageUnder<Field>[],
    filter: Filter,
  ): Promise<Seen<Row & { place: number }>> {
    const { page, visibleTo } = pages[0]!;
    const column = this.orders[page.field];
    const { within, order } = keyset(sql, column, page, {
      after: page.after && sql`(q.after, q.after_id)`,
      before: page.before && sql`(q.before, q.before_id)`,
    });
    const result = await sql<WithSeen<Row & { place: number }>[]>`
      select s.seen, t.* from readback.seen() s(seen) left join (
        select q.place, t.* from jsonb_to_recordset(${sql.json(pages.map(toQuestion))}) q(place int, parent uuid, rows int,
          after ${sql(column.type)}, after_id uuid, before ${sql(column.type)}, before_id uuid${visibleTo ? sql`, viewer uuid` : sql``})
        cross join lateral (
          select ${this.#columns(sql)} from ${sql(this.name)} t
          where ${all(sql, [sql`${sql(`t.${parent}`)} = q.parent`, ...this.#matches(sql, filter), visible(sql, visibleTo, sql`q.viewer`), ...within])} order by ${order} limit q.rows
        ) t
      ) t on true order by t.place, ${order}`;
    return split<Row & { place: number }>(result, 'id');
  }

  /** A parent without rows is not among the answers. */
  async countsUnder(
    sql: Sql,
    parent: string,
    parents: readonly string[],
    filter: Filter,
  ): Promise<Seen<{ parent: string; count: number }>> {
    const column = sql(`t.${parent}`);
    const result = await sql<WithSeen<{ parent: string; count: number }>[]>`
      select s.seen, c.* from readback.seen() s(seen) left join (
        select ${column} as parent, count(*)::int as count from ${sql(this.name)} t
        where ${all(sql, [sql`${column} = any(${uuidArray(parents)}::uuid[])`, ...this.#matches(sql, filter)])} group by ${column}
      ) c on true`;
    return split(result, 'parent');
  }

  /** The same by one rule: a number for each, in their order. */
  async visibleCountsUnder(
    sql: Sql,
    parent: string,
    questions: readonly Under[],
    filter: Filter,
  ): Promise<Seen<{ place: number; count: number }>> {
    const asked = questions.map(({ scope, visibleTo }, place) => ({
      place,
      parent: scope,
      viewer: viewerOf(visibleTo),
    }));
    const seesOne = visible(sql, questions[0]!.visibleTo, sql`q.viewer`);
    const result = await sql<WithSeen<{ place: number; count: number }>[]>`
      select s.seen, c.* from readback.seen() s(seen) left join (
        select q.place, c.count from jsonb_to_recordset(${sql.json(asked)}) q(place int, parent uuid, viewer uuid)
        cross join lateral (
          select count(*)::int as count from ${sql(this.name)} t
          where ${all(sql, [sql`${sql(`t.${parent}`)} = q.parent`, ...this.#matches(sql, filter), seesOne])}
        ) c
      ) c on true`;
    return split(result, 'place');
  }

  insert(sql: Sql, values: Values): Statement<Row> {
    return sql<Row[]>`insert into ${sql(this.name)} ${sql(asRow(values))} returning ${this.#columns(sql)}`;
  }

  /** Only what is set is written. */
  update(sql: Sql, id: string, patch: Partial<Values>): Statement<Row> {
    return sql<
      Row[]
    >`update ${sql(this.name)} set ${sql(asRow(patch))} where id = ${id} returning ${this.#columns(sql)}`;
  }

  delete(sql: Sql, id: string): Statement<Row> {
    return sql<Row[]>`delete from ${sql(this.name)} where id = ${id} returning ${this.#columns(sql)}`;
  }
}

function all(sql: Sql, conditions: (Fragment | null)[]): Fragment {
  const set = conditions.filter((condition) => condition !== null);
  return set.length === 0 ? sql`true` : set.reduce((both, condition) => sql`${both} and ${condition}`);
}

/** `viewer` as a part of the statement, where there are several. */
function visible(sql: Sql, to: VisibleTo | undefined, viewer?: Fragment): Fragment | null {
  if (to === undefined) return null;
  if (to === 'nobody') return sql`false`;
  const others = Object.entries(to.privateWhile).map(([field, value]) => {
    const column = sql(`t.${field}`);
    return value === null ? sql`${column} is not null` : sql`${column} is distinct from ${value}`;
  });
  const own = sql`${sql(`t.${to.owner}`)} = ${viewer ?? to.viewer}`;
  return sql`(${[...others, own].reduce((either, condition) => sql`${either} or ${condition}`)})`;
}

const viewerOf = (to: VisibleTo | undefined): string | null => (typeof to === 'object' ? to.viewer : null);

const asRow = (values: object) => values as Record<string, string>;

const toQuestion = <Field extends string>({ scope, page, visibleTo }: PageUnder<Field>, place: number) => ({
  place,
  parent: scope,
  rows: page.limit + 1,
  after: page.after?.value ?? null,
  after_id: page.after?.id ?? null,
  before: page.before?.value ?? null,
  before_id: page.before?.id ?? null,
  ...(visibleTo && { viewer: viewerOf(visibleTo) }),
});

/**
 * The pattern of texts that start so, for `lower(column) like`, upper or lower case alike. PostgreSQL alone says which
 * letters are: its `lower` knows others than JavaScript, by the locale of the database.
 */
export const prefixPattern = (sql: Sql, search: string): Fragment =>
  sql`lower(${`${search.replace(/[\\%_]/g, '\\$&')}%`})`;
