import type { Fragment, Sql } from '../db/connect.ts';

/** A page by keyset: rows behind a position in an order, nothing counted or skipped. */
export interface PageRequest<Field extends string> {
  field: Field;
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

/** The condition and order of a page over alias u, whose columns are `columns[field]` and id. */
export function keysetPage<Field extends string>(sql: Sql, page: PageRequest<Field>, columns: Record<Field, string>) {
  const column = sql(`u.${columns[page.field]}`);
  const forward = page.descending ? sql`<` : sql`>`;
  const back = page.descending ? sql`>` : sql`<`;
  const after = page.after ? sql`(${column}, u.id) ${forward} (${page.after.value}, ${page.after.id})` : sql`true`;
  const before = page.before ? sql`(${column}, u.id) ${back} (${page.before.value}, ${page.before.id})` : sql`true`;
  const direction = page.descending === page.backward ? sql`asc` : sql`desc`;
  const condition: Fragment = sql`${after} and ${before}`;
  return { condition, order: sql`${column} ${direction}, u.id ${direction}` as Fragment };
}
