import type { DeclaredColumn } from '../../declare/declaration.ts';
import type { Fragment, Sql } from '../connect.ts';
import { joined, nameOf } from './columns.ts';

/** A page by keyset: rows after a position in an order, nothing counted or skipped. */
export interface PageRequest {
  field: string;
  descending: boolean;
  /** Read from the end towards the start; the caller turns the rows around again. */
  backward: boolean;
  limit: number;
  after: Position | null;
  before: Position | null;
}

/** The ordering column's value, as text, and the id that breaks ties. */
export interface Position {
  value: string | null;
  id: string;
}

/** What pages can be ordered by: a column, then the key. */
export interface Order {
  column: DeclaredColumn;
  /** Without the column. */
  ties: readonly DeclaredColumn[];
}

/** An end of a page: the values of the order's columns. */
export interface Bound {
  isNull: boolean;
  values: readonly Fragment[];
}

/** The conditions and the order of a page over alias t; a bound is null where its end is open. */
export function keyset(
  sql: Sql,
  { column, ties }: Order,
  { descending, backward }: Pick<PageRequest, 'descending' | 'backward'>,
  bounds: Record<'after' | 'before', Bound | null>,
): { within: (Fragment | null)[]; order: Fragment } {
  const names = [column, ...ties].map((one) => nameOf(sql, one));
  const direction = descending === backward ? sql`asc` : sql`desc`;
  const past = (bound: Bound | null, isAfter: boolean) =>
    bound && beyond(sql, column.nullable === true, names, bound, isAfter !== descending);
  return {
    within: [past(bounds.after, true), past(bounds.before, false)],
    order: joined(
      sql,
      names.map((name) => sql`${name} ${direction}`),
    ),
  };
}

/** Rows that are greater or less than the bound. A null is greater than all values, as PostgreSQL sorts it. */
function beyond(sql: Sql, isNullable: boolean, names: Fragment[], bound: Bound, isGreater: boolean): Fragment {
  const than = isGreater ? sql`>` : sql`<`;
  const row = (parts: readonly Fragment[]) => sql`(${joined(sql, parts)})`;
  if (!isNullable) return sql`${row(names)} ${than} ${row(bound.values)}`;
  const [name] = names as [Fragment];
  if (!bound.isNull) {
    const differs = sql`${row(names)} ${than} ${row(bound.values)}`;
    return isGreater ? sql`(${differs} or ${name} is null)` : differs;
  }
  const ties = sql`${name} is null and ${row(names.slice(1))} ${than} ${row(bound.values.slice(1))}`;
  return isGreater ? sql`(${ties})` : sql`(${name} is not null or ${ties})`;
}
