import type { Fragment, Sql } from '../connect.ts';

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
  value: string;
  id: string;
}

/** A column that pages can be ordered by, never null, and PostgreSQL's type of the positions in it. */
export interface OrderColumn {
  column: string;
  type: 'timestamptz' | 'text';
}

/** Either end of a page as a row of SQL, (value, id); null where it is open. */
export interface Bounds {
  after: Fragment | null;
  before: Fragment | null;
}

/** The conditions and the order of a page over alias t, whose columns are the order's and id. */
export function keyset(
  sql: Sql,
  { column }: OrderColumn,
  { descending, backward }: Pick<PageRequest, 'descending' | 'backward'>,
  { after, before }: Bounds,
): { within: (Fragment | null)[]; order: Fragment } {
  const value = sql(`t.${column}`);
  const [past, short] = descending ? [sql`<`, sql`>`] : [sql`>`, sql`<`];
  const direction = descending === backward ? sql`asc` : sql`desc`;
  return {
    within: [after && sql`(${value}, t.id) ${past} ${after}`, before && sql`(${value}, t.id) ${short} ${before}`],
    order: sql`${value} ${direction}, t.id ${direction}`,
  };
}
