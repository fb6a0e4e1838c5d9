import type { Declaration } from '../../declare/declaration.ts';
import { fieldsIn, isAlways, truth, type Claims, type Clause } from '../../declare/rule.ts';
import { uuidArray, type Fragment, type Sql, type Statement } from '../connect.ts';
import { keyset, type OrderColumn, type PageRequest } from './keyset.ts';
import { ruleSql } from './rule.ts';
import { split, type Seen, type WithSeen } from './seen.ts';

/** Those rows that a viewer with these claims may read, by the table's own rule; or none at all. */
export type VisibleTo = Claims | 'nobody';

/** Whose rows may be written, by the table's own rules, as they are and as `patch` has them. */
export interface WritableBy {
  claims: Claims;
  patch: Readonly<Record<string, unknown>>;
}

/** What pages of a table are asked for by. */
export interface Filter {
  search?: Search | null;
  /** By column: the value, or whether there is one. */
  equal?: Readonly<Record<string, unknown>>;
  given?: Readonly<Record<string, boolean>>;
}

export interface Search {
  /** A prefix of one of the columns, upper or lower case alike. */
  text: string;
  columns: readonly string[];
}

/** The rows under the parent that has the id `scope`, or the number of them. */
export interface Under {
  scope: string;
  visibleTo?: VisibleTo | undefined;
}

interface PageUnder extends Under {
  page: PageRequest;
}

/** The statements that all tables share. */
export class Table<Row extends { id: string }> {
  readonly name: string;
  /** What messages call one of its rows. */
  readonly one: string;
  /** By their names in GraphQL. */
  readonly orders: Readonly<Record<string, OrderColumn>>;
  readonly #declaration: Declaration;
  readonly #columns: string;

  constructor(declaration: Declaration) {
    this.name = declaration.name;
    this.one = declaration.one;
    this.orders = Object.fromEntries(declaration.orderBy.map((column) => [constantCase(column.name), orderOf(column)]));
    this.#declaration = declaration;
    this.#columns = declaration.columns.map(({ name }) => quoted(name)).join(', ');
  }

  columns(sql: Sql): Fragment {
    return sql.unsafe(this.#columns);
  }

  async byIds(sql: Sql, ids: readonly string[]): Promise<Seen<Row>> {
    const result = await sql<WithSeen<Row>[]>`
      select s.seen, ${this.columns(sql)} from readback.seen() s(seen)
      left join ${sql(this.name)} t on t.id = any(${uuidArray(ids)}::uuid[])`;
    return split(result, 'id');
  }

  /** One row more than asked for, where there is one: it says that another page follows. */
  async page(sql: Sql, filter: Filter, page: PageRequest, to?: VisibleTo): Promise<Seen<Row>> {
    const { within, order } = keyset(sql, this.orders[page.field]!, page, {
      after: page.after && sql`(${page.after.value}, ${page.after.id})`,
      before: page.before && sql`(${page.before.value}, ${page.before.id})`,
    });
    const result = await sql<WithSeen<Row>[]>`
      select s.seen, t.* from readback.seen() s(seen) left join (
        select ${this.columns(sql)} from ${sql(this.name)} t
        where ${all(sql, [...matches(sql, filter), this.#visible(sql, to), ...within])} order by ${order} limit ${page.limit + 1}
      ) t on true order by ${order}`;
    return split(result, 'id');
  }

  async count(sql: Sql, filter: Filter, to?: VisibleTo): Promise<Seen<{ count: number }>> {
    const result = await sql<WithSeen<{ count: number }>[]>`
      select readback.seen() as seen, count(*)::int as count from ${sql(this.name)} t
      where ${all(sql, [...matches(sql, filter), this.#visible(sql, to)])}`;
    return split(result, 'count');
  }

  /**
   * The pages under many parents, each one row longer as above, and each row with the place of its page. The pages are
   * of one shape: all in one order and direction, bounded at the same ends, and visible by one rule. Each reads no more rows than it has,
   * from an index on the parent, the order and the id.
   */
  async pagesUnder(sql: Sql, parent: string, pages: PageUnder[]): Promise<Seen<Row & { place: number }>> {
    const { page, visibleTo } = pages[0]!;
    const column = this.orders[page.field]!;
    const { within, order } = keyset(sql, column, page, {
      after: page.after && sql`(q.after, q.after_id)`,
      before: page.before && sql`(q.before, q.before_id)`,
    });
    const result = await sql<WithSeen<Row & { place: number }>[]>`
      select s.seen, t.* from readback.seen() s(seen) left join (
        select q.place, t.* from jsonb_to_recordset(${sql.json(pages.map(toQuestion))}) q(place int, parent uuid, rows int,
          after ${sql(column.type)}, after_id uuid, before ${sql(column.type)}, before_id uuid${visibleTo ? sql`, viewer uuid` : sql``})
        cross join lateral (
          select ${this.columns(sql)} from ${sql(this.name)} t
          where ${all(sql, [sql`${sql(`t.${parent}`)} = q.parent`, this.#visible(sql, visibleTo, sql`q.viewer`), ...within])} order by ${order} limit q.rows
        ) t
      ) t on true order by t.place, ${order}`;
    return split<Row & { place: number }>(result, 'id');
  }

  /** A parent without rows is not among the answers. */
  async countsUnder(
    sql: Sql,
    parent: string,
    parents: readonly string[],
  ): Promise<Seen<{ parent: string; count: number }>> {
    const column = sql(`t.${parent}`);
    const result = await sql<WithSeen<{ parent: string; count: number }>[]>`
      select s.seen, c.* from readback.seen() s(seen) left join (
        select ${column} as parent, count(*)::int as count from ${sql(this.name)} t
        where ${all(sql, [sql`${column} = any(${uuidArray(parents)}::uuid[])`])} group by ${column}
      ) c on true`;
    return split(result, 'parent');
  }

  /** The same by one rule: a number for each, in their order. */
  async visibleCountsUnder(
    sql: Sql,
    parent: string,
    questions: readonly Under[],
  ): Promise<Seen<{ place: number; count: number }>> {
    const asked = questions.map(({ scope, visibleTo }, place) => ({
      place,
      parent: scope,
      viewer: viewerOf(visibleTo),
    }));
    const seesOne = this.#visible(sql, questions[0]!.visibleTo, sql`q.viewer`);
    const result = await sql<WithSeen<{ place: number; count: number }>[]>`
      select s.seen, c.* from readback.seen() s(seen) left join (
        select q.place, c.count from jsonb_to_recordset(${sql.json(asked)}) q(place int, parent uuid, viewer uuid)
        cross join lateral (
          select count(*)::int as count from ${sql(this.name)} t
          where ${all(sql, [sql`${sql(`t.${parent}`)} = q.parent`, seesOne])}
        ) c
      ) c on true`;
    return split(result, 'place');
  }

  /** `viewer` as a part of the statement, where there are several. */
  #visible(sql: Sql, to: VisibleTo | undefined, viewer?: Fragment): Fragment | null {
    if (to === undefined) return null;
    const { read } = this.#declaration;
    return to === 'nobody' || !read
      ? sql`false`
      : ruleSql(sql, this.#declaration, read, { ...to, ...(viewer && { sub: viewer }) });
  }

  insert(sql: Sql, values: object): Statement<Row> {
    return sql<Row[]>`insert into ${sql(this.name)} ${sql(asRow(values))} returning ${this.columns(sql)}`;
  }

  /**
   * The condition over alias t for the row that has the id, where it may still be written: whoever looked at it before has
   * seen it as it was then.
   */
  only(sql: Sql, id: string, by?: WritableBy): Fragment {
    return all(sql, [sql`t.id = ${id}`, ...(by ? this.#writable(sql, by) : [])]);
  }

  #writable(sql: Sql, { claims, patch }: WritableBy): (Fragment | null)[] {
    const { read, write } = this.#declaration;
    if (!read || !write) return [sql`false`];
    const rule = (clause: Clause, row = {}) =>
      ruleSql(sql, this.#declaration, clause, claims, (leaf) =>
        leaf.field in row ? truth(leaf, row, claims) : undefined,
      );
    const isChanged = fieldsIn(write).some((field) => field in patch);
    return [
      this.#visible(sql, isAlways(read) ? undefined : claims),
      rule(write),
      isChanged ? rule(write, patch) : null,
    ];
  }

  /** Only what is set is written. */
  update(sql: Sql, only: Fragment, patch: object): Statement<Row> {
    return sql<Row[]>`update ${sql(this.name)} t set ${sql(asRow(patch))} where ${only} returning ${this.columns(sql)}`;
  }

  delete(sql: Sql, only: Fragment): Statement<Row> {
    return sql<Row[]>`delete from ${sql(this.name)} t where ${only} returning ${this.columns(sql)}`;
  }
}

function all(sql: Sql, conditions: (Fragment | null)[]): Fragment {
  const set = conditions.filter((condition) => condition !== null);
  return set.length === 0 ? sql`true` : set.reduce((both, condition) => sql`${both} and ${condition}`);
}

/** The conditions over alias t. */
function matches(sql: Sql, { search, equal = {}, given = {} }: Filter): (Fragment | null)[] {
  return [
    search ? startsWith(sql, search) : null,
    ...Object.entries(equal).map(([column, value]) => sql`${sql(`t.${column}`)} = ${value as string}`),
    ...Object.entries(given).map(([column, isGiven]) => sql`(${sql(`t.${column}`)} is not null) = ${isGiven}`),
  ];
}

function startsWith(sql: Sql, { text, columns }: Search): Fragment {
  const pattern = prefixPattern(sql, text);
  const each = columns.map((column) => sql`lower(${sql(`t.${column}`)}) like ${pattern}`);
  return sql`(${each.reduce((either, one) => sql`${either} or ${one}`)})`;
}

const viewerOf = (to: VisibleTo | undefined): string | null => (typeof to === 'object' ? to.sub : null);

const asRow = (values: object) => values as Record<string, string>;

const toQuestion = ({ scope, page, visibleTo }: PageUnder, place: number) => ({
  place,
  parent: scope,
  rows: page.limit + 1,
  after: page.after?.value ?? null,
  after_id: page.after?.id ?? null,
  before: page.before?.value ?? null,
  before_id: page.before?.id ?? null,
  ...(visibleTo && { viewer: viewerOf(visibleTo) }),
});

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
const constantCase = (name: string) => name.toUpperCase();
const orderOf = ({ field, type }: Declaration['key']): OrderColumn => ({
  column: field,
  type: type() === String ? 'text' : 'timestamptz',
});

/**
 * The pattern of texts that start so, for `lower(column) like`, upper or lower case alike. PostgreSQL alone says which
 * letters are: its `lower` knows others than JavaScript, by the locale of the database.
 */
const prefixPattern = (sql: Sql, search: string): Fragment => sql`lower(${`${search.replace(/[\\%_]/g, '\\$&')}%`})`;
