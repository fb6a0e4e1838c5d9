import { columnIn, columnText, idOf, keyIn, type Declaration, type DeclaredColumn } from '../../declare/declaration.ts';
import { arrayText, type Kind } from '../../declare/kinds.ts';
import { fieldsIn, isAlways, truth, type Claims, type Clause } from '../../declare/rule.ts';
import { columnName, quoted, type Fragment, type Sql, type Statement } from '../connect.ts';
import {
  all,
  constant,
  identifier,
  isPlain,
  joined,
  nameOf,
  parameter,
  parameterText,
  selected,
  textParameter,
} from './columns.ts';
import { keyset, type Bound, type Order, type PageRequest, type Position } from './keyset.ts';
import type { Given } from './refused.ts';
import { ruleSql } from './rule.ts';
import type { Seen } from './seen.ts';

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

/** The rows under a parent, or the number of them. */
export interface Under {
  /** What its rows have in the column that names it; in several, the JSON array of that. Null: no row has. */
  scope: string | null;
  visibleTo?: VisibleTo | undefined;
}

interface PageUnder extends Under {
  page: PageRequest;
}

/** An answer to the question that has this place among them. No field has such a name. */
export interface Placed {
  $place: number;
}

/** What every statement answers besides. */
interface Told {
  $seen: bigint;
}

/** The statements that all tables share. */
export class Table<Row extends { id: string }> {
  readonly name: string;
  /** What messages call one of its rows. */
  readonly one: string;
  /** By their names in GraphQL. */
  readonly orders: Readonly<Record<string, Order>>;
  readonly #declaration: Declaration;
  /** The table, its columns, and what is selected of them, as they stand in SQL. */
  readonly #table: string;
  readonly #columns: string;
  readonly #selected: string;
  readonly #isPlain: boolean;
  /** Beside the columns, one of which may be called $place. */
  readonly #placeName: string;
  /** What is still to be done with each row that was read. */
  readonly #finish: ((row: Record<string, unknown>) => void)[];

  constructor(declaration: Declaration) {
    const { columns, key, orderBy } = declaration;
    this.name = declaration.name;
    this.one = declaration.one;
    this.orders = Object.fromEntries(
      orderBy.map((column) => [orderName(column), { column, ties: key.filter((one) => one !== column) }]),
    );
    this.#declaration = declaration;
    this.#table = identifier(declaration.name);
    this.#columns = columns.map(({ name }) => `t.${quoted(name)}`).join(', ');
    this.#selected = columns.map(selected).join(', ');
    this.#isPlain = columns.every(isPlain);
    this.#placeName = columns.some(({ name }) => name === '$place') ? '$place of page' : '$place';
    this.#finish = finishing(declaration);
  }

  /** Of the table, as alias t. */
  columns(sql: Sql): Fragment {
    return constant(sql, this.#selected);
  }

  /** Of a part of the statement, alias t, that has the table's columns as they are. */
  #shown(sql: Sql): Fragment {
    return this.#isPlain ? sql`t.*` : this.columns(sql);
  }

  #from(sql: Sql): Fragment {
    return constant(sql, `${this.#table} t`);
  }

  /** Splits the position off the rows, and off the row of nulls that says that there is none. */
  #split<Found extends Row & Told>(result: readonly Found[]): Seen<Found> {
    const [{ field }] = this.#declaration.key;
    const rows = result.filter((row) => row[field as keyof Row] !== null);
    for (const finish of this.#finish) for (const row of rows) finish(row as Record<string, unknown>);
    return { rows, seen: result[0]?.$seen ?? 0n };
  }

  /**
   * The row of each id, null where there is none. What PostgreSQL takes for equal need not be written alike: then the
   * rows are matched with the ids by their places.
   */
  async byIds(sql: Sql, ids: readonly string[]): Promise<Seen<Row | null>> {
    const { key } = this.#declaration;
    const [first, ...others] = key;
    if (others.length > 0 || !first.form.isOneText)
      return this.byColumns(
        sql,
        key,
        ids.map((id) => keyIn(this.#declaration, id)!),
      );
    const result = await sql<(Row & Told)[]>`
      select s.seen as "$seen", ${this.columns(sql)} from readback.seen() s(seen)
      left join ${this.#from(sql)} on ${nameOf(sql, first)} = any(${arrayText(ids)}::${typeOf(sql, first)}[])`;
    const { rows, seen } = this.#split(result);
    const found = new Map(rows.map((row) => [row.id, row]));
    return { rows: ids.map((id) => found.get(id) ?? null), seen };
  }

  /** The row that has each of these in columns which are unique, as texts that PostgreSQL takes. */
  async byColumns(
    sql: Sql,
    key: readonly DeclaredColumn[],
    keys: readonly (readonly string[])[],
  ): Promise<Seen<Row | null>> {
    const lists = key.map((_, part) => sql`${arrayText(keys.map((texts) => texts[part]))}::text[]`);
    const names = key.map((_, part) => `k${part}`).join(', ');
    const equal = key.map(
      (column, part) => sql`${nameOf(sql, column)} = q.${constant(sql, `k${part}`)}::${typeOf(sql, column)}`,
    );
    const result = await sql<(Row & Told & Placed)[]>`
      select s.seen as "$seen", q.place::int as "$place", ${this.columns(sql)} from readback.seen() s(seen)
      left join (unnest(${joined(sql, lists)}) with ordinality q(${constant(sql, names)}, place)
        join ${this.#from(sql)} on ${all(sql, equal)}) on true`;
    const { rows, seen } = this.#split(result);
    const found = new Map(rows.map((row) => [row.$place, row]));
    return { rows: keys.map((_, index) => found.get(index + 1) ?? null), seen };
  }

  /** One row more than asked for, where there is one: it says that another page follows. */
  async page(sql: Sql, filter: Filter, page: PageRequest, to?: VisibleTo): Promise<Seen<Row>> {
    const order = this.orders[page.field]!;
    const bound = (position: Position | null) => position && this.#bound(sql, order, position);
    const { within, order: by } = keyset(sql, order, page, { after: bound(page.after), before: bound(page.before) });
    const result = await sql<(Row & Told)[]>`
      select s.seen as "$seen", ${this.#shown(sql)} from readback.seen() s(seen) left join (
        select ${constant(sql, this.#columns)} from ${this.#from(sql)}
        where ${all(sql, [...this.#matches(sql, filter), this.#visible(sql, to), ...within])} order by ${by} limit ${page.limit + 1}
      ) t on true order by ${by}`;
    return this.#split(result);
  }

  #bound(sql: Sql, order: Order, position: Position): Bound {
    const values = this.#valuesAt(order, position);
    const columns = [order.column, ...order.ties];
    return {
      isNull: position.value === null,
      values: columns.map((column, part) => textParameter(sql, column, values[part]!)),
    };
  }

  /** As PostgreSQL takes them. */
  #valuesAt({ column, ties }: Order, { value, id }: Position): (string | null)[] {
    const { key } = this.#declaration;
    const texts = keyIn(this.#declaration, id)!;
    return [value === null ? null : column.form.parse(value)!, ...ties.map((tie) => texts[key.indexOf(tie)]!)];
  }

  async count(sql: Sql, filter: Filter, to?: VisibleTo): Promise<Seen<{ count: number }>> {
    const [row] = await sql<[{ seen: bigint; count: number }]>`
      select readback.seen() as seen, count(*)::int as count from ${this.#from(sql)}
      where ${all(sql, [...this.#matches(sql, filter), this.#visible(sql, to)])}`;
    return { rows: [row], seen: row.seen };
  }

  /**
   * The pages under many parents, each one row longer as above, and each row with the place of its page. The pages are
   * of one shape: all in one order and direction, bounded at the same ends, and visible by one rule. Each reads no more
   * rows than it has, from an index on the parent, the order and the key.
   */
  async pagesUnder(sql: Sql, parents: readonly DeclaredColumn[], pages: PageUnder[]): Promise<Seen<Row & Placed>> {
    const { page, visibleTo } = pages[0]!;
    const order = this.orders[page.field]!;
    const columns = [order.column, ...order.ties];
    const asked = (['after', 'before'] as const).filter((end) => page[end]);
    const bound = (end: 'after' | 'before'): Bound | null =>
      page[end] && {
        isNull: page[end].value === null,
        values: columns.map(({ form }, part) => constant(sql, ofQuestion(form, `${end}_${part}`))),
      };
    const { within, order: by } = keyset(sql, order, page, { after: bound('after'), before: bound('before') });
    const types = [
      `place int, ${parentTypes(parents)}, rows int`,
      ...asked.flatMap((end) => columns.map(({ form }, part) => `${end}_${part} ${typeInQuestion(form)}`)),
      ...(visibleTo ? ['viewer uuid'] : []),
    ];
    const questions = pages.map((one, place) => ({
      ...toQuestion(one, place, parents),
      rows: one.page.limit + 1,
      ...Object.fromEntries(
        asked.flatMap((end) => this.#valuesAt(order, one.page[end]!).map((value, part) => [`${end}_${part}`, value])),
      ),
    }));
    const place = this.#placeName;
    const result = await sql<(Row & Told & Placed)[]>`
      select s.seen as "$seen", ${constant(sql, selectedAs(place, '$place'))}, ${this.#shown(sql)} from readback.seen() s(seen) left join (
        select q.place as ${constant(sql, quoted(place))}, t.* from jsonb_to_recordset(${sql.json(questions)}) q(${constant(sql, types.join(', '))})
        cross join lateral (
          select ${constant(sql, this.#columns)} from ${this.#from(sql)}
          where ${all(sql, [isUnder(sql, parents), this.#visible(sql, visibleTo, sql`q.viewer`), ...within])} order by ${by} limit q.rows
        ) t
      ) t on true order by ${nameOf(sql, { name: place })}, ${by}`;
    return this.#split(result);
  }

  /** By the places of the questions; those of parents without rows are not among the answers. */
  async countsUnder(
    sql: Sql,
    parents: readonly DeclaredColumn[],
    questions: readonly Under[],
  ): Promise<Seen<Placed & { count: number }>> {
    const { visibleTo } = questions[0]!;
    const asked = questions.map((one, place) => toQuestion(one, place, parents));
    const types = constant(sql, `place int, ${parentTypes(parents)}, viewer uuid`);
    const result = await sql<(Told & Placed & { count: number | null })[]>`
      select s.seen as "$seen", c.place as "$place", c.count from readback.seen() s(seen) left join (
        select q.place, c.count from jsonb_to_recordset(${sql.json(asked)}) q(${types})
        cross join lateral (
          select count(*)::int as count from ${this.#from(sql)}
          where ${all(sql, [isUnder(sql, parents), this.#visible(sql, visibleTo, sql`q.viewer`)])}
        ) c
      ) c on true`;
    const rows = result.filter((row): row is (typeof result)[number] & { count: number } => row.count !== null);
    return { rows, seen: result[0]?.$seen ?? 0n };
  }

  /** `viewer` as a part of the statement, where there are several. */
  #visible(sql: Sql, to: VisibleTo | undefined, viewer?: Fragment): Fragment | null {
    if (to === undefined) return null;
    const { read } = this.#declaration;
    return to === 'nobody' || !read
      ? sql`false`
      : ruleSql(sql, this.#declaration, read, { ...to, ...(viewer && { sub: viewer }) });
  }

  /** The conditions over alias t. */
  #matches(sql: Sql, { search, equal = {}, given = {} }: Filter): (Fragment | null)[] {
    const conditions = (by: object, toSql: (column: DeclaredColumn, value: unknown) => Fragment) =>
      Object.entries(by).map(([field, value]) => toSql(columnIn(this.#declaration, field)!, value));
    return [
      search ? startsWith(sql, search) : null,
      ...conditions(equal, (column, value) => sql`${nameOf(sql, column)} = ${parameter(sql, column, value)}`),
      ...conditions(given, (column, isGiven) => sql`(${nameOf(sql, column)} is not null) = ${isGiven as boolean}`),
    ];
  }

  /** Values by fields, and by those of columns that are the primary's alone. */
  insert(sql: Sql, values: object): Statement<Row> {
    const parts = this.#written(sql, values);
    const names = parts.map(({ name }) => quoted(name)).join(', ');
    const row =
      parts.length === 0
        ? sql`default values`
        : sql`(${sql.unsafe(names)}) values (${joined(
            sql,
            parts.map(({ value }) => value),
          )})`;
    return sql<Row[]>`insert into ${constant(sql, `${this.#table} as t`)} ${row} returning ${this.columns(sql)}`;
  }

  /**
   * The condition over alias t for the row that has the id, where it may still be written, and still has what was looked
   * at: whoever looked at it before has seen it as it was then.
   */
  only(sql: Sql, id: string, by?: WritableBy, looked: Partial<Row> = {}): Fragment {
    const still = Object.entries(looked).map(([field, value]) =>
      this.#has(sql, columnIn(this.#declaration, field)!, value),
    );
    return all(sql, [this.#hasId(sql, id), ...(by ? this.#writable(sql, by) : []), ...still]);
  }

  /** Of a row's value. */
  #has(sql: Sql, column: DeclaredColumn, value: unknown): Fragment {
    const name = nameOf(sql, column);
    if (value === null) return sql`${name} is null`;
    return sql`${name} = ${textParameter(sql, column, column.form.parse(columnText(column, value))!)}`;
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
    const set = this.#written(sql, patch).map(({ name, value }) => sql`${constant(sql, quoted(name))} = ${value}`);
    return sql<Row[]>`update ${this.#from(sql)} set ${joined(sql, set)} where ${only} returning ${this.columns(sql)}`;
  }

  delete(sql: Sql, only: Fragment): Statement<Row> {
    return sql<Row[]>`delete from ${this.#from(sql)} where ${only} returning ${this.columns(sql)}`;
  }

  /** The texts that a statement has these values as, and those of the id. */
  given(values: object, id?: string): Given[] {
    const texts = id === undefined ? [] : keyIn(this.#declaration, id)!;
    return [
      ...Object.entries(values).flatMap(([field, value]) => {
        const column = columnIn(this.#declaration, field);
        const text = column && parameterText(column, value);
        return text === undefined ? [] : [{ field, column: column!.name, text }];
      }),
      ...texts.map((text, part) => ({ field: 'id', column: this.#declaration.key[part]!.name, text })),
    ];
  }

  /** Whether policies of the table hold for who asks. */
  isUnderPolicies(sql: Sql): Statement<{ is: boolean }> {
    return sql<{ is: boolean }[]>`select row_security_active(${this.#table}::text::regclass) as is`;
  }

  #hasId(sql: Sql, id: string): Fragment {
    const texts = keyIn(this.#declaration, id)!;
    const { key } = this.#declaration;
    return all(
      sql,
      key.map((column, part) => sql`${nameOf(sql, column)} = ${textParameter(sql, column, texts[part]!)}`),
    );
  }

  #written(sql: Sql, values: object): { name: string; value: Fragment }[] {
    return Object.entries(values).map(([field, value]) => {
      const column = columnIn(this.#declaration, field);
      return column
        ? { name: column.name, value: parameter(sql, column, value) }
        : { name: columnName(field), value: sql`${value as string}` };
    });
  }

  /** A row that a statement of a project's own returned, as all others are. */
  finish(row: Row | undefined): Row | undefined {
    if (row) for (const finish of this.#finish) finish(row);
    return row;
  }
}

/** Few tables have any: what the driver hands on is mostly what is wanted. */
function finishing(declaration: Declaration): ((row: Record<string, unknown>) => void)[] {
  const { columns, key } = declaration;
  const parsed = columns.flatMap(({ field, form: { fromText } }) => (fromText ? [{ field, fromText }] : []));
  const [{ field, form }] = key;
  const hasId = key.length === 1 && field === 'id' && form.isText === true;
  return [
    ...parsed.map(({ field: name, fromText }) => (row: Record<string, unknown>) => {
      if (row[name] !== null) row[name] = fromText(row[name] as string);
    }),
    ...(hasId ? [] : [(row: Record<string, unknown>) => void (row['id'] = idOf(declaration, row))]),
  ];
}

function startsWith(sql: Sql, { text, columns }: Search): Fragment {
  const pattern = prefixPattern(sql, text);
  const each = columns.map((name) => sql`lower(${nameOf(sql, { name })}) like ${pattern}`);
  return sql`(${each.reduce((either, one) => sql`${either} or ${one}`)})`;
}

/** A question has texts, of which JSON would make something else where the type is one of these. */
const isText = ({ isMadeText, isJson, isList }: Kind) => isMadeText === true || isJson === true || isList === true;
const typeInQuestion = (form: Kind) => (isText(form) ? 'text' : form.sql);
const ofQuestion = (form: Kind, name: string) => (isText(form) ? `q.${name}::${form.sql}` : `q.${name}`);

/** The columns that name the parent are one part of a question each. */
const parentName = (part: number, parents: readonly unknown[]) => (parents.length === 1 ? 'parent' : `parent_${part}`);

const parentTypes = (parents: readonly DeclaredColumn[]) =>
  parents.map(({ form }, part) => `${parentName(part, parents)} ${typeInQuestion(form)}`).join(', ');

const isUnder = (sql: Sql, parents: readonly DeclaredColumn[]): Fragment =>
  all(
    sql,
    parents.map(
      (column, part) =>
        sql`${nameOf(sql, column)} = ${constant(sql, ofQuestion(column.form, parentName(part, parents)))}`,
    ),
  );

function partsOf(scope: string | null, parents: readonly unknown[]): Record<string, string | null> {
  const parts = parents.length === 1 || scope === null ? parents.map(() => scope) : (JSON.parse(scope) as string[]);
  return Object.fromEntries(parts.map((part, index) => [parentName(index, parents), part]));
}

const toQuestion = ({ scope, visibleTo }: Under, place: number, parents: readonly unknown[]) => ({
  place,
  ...partsOf(scope, parents),
  ...(visibleTo !== undefined && { viewer: typeof visibleTo === 'object' ? visibleTo.sub : null }),
});

/** Of alias t. */
const selectedAs = (name: string, as: string) => `t.${quoted(name)}${name === as ? '' : ` as ${quoted(as)}`}`;

const typeOf = (sql: Sql, { form }: DeclaredColumn): Fragment => constant(sql, form.sql);

/** What clients call the order by a column. */
export const orderName = ({ field }: Pick<DeclaredColumn, 'field'>) => field.replace(/[A-Z]/g, '_$&').toUpperCase();

/**
 * The pattern of texts that start so, for `lower(column) like`, upper or lower case alike. PostgreSQL alone says which
 * letters are: its `lower` knows others than JavaScript, by the locale of the database.
 */
const prefixPattern = (sql: Sql, search: string): Fragment => sql`lower(${`${search.replace(/[\\%_]/g, '\\$&')}%`})`;
