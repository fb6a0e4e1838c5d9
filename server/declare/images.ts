import { LEVELS_MAX, readExactly } from '../lib/exact-json.ts';
import { idOf, tableNamed, type Declaration } from './declaration.ts';

/** A row as JSON, by column names. */
export type Image = Record<string, unknown>;

/** An image as the log has it. Only tables with numbers that JavaScript would cut pay for exactness; the row is a level of its own. */
export function parseImage(table: string, text: string): Image {
  const isExact = tableNamed(table)?.isLong === true;
  return (isExact ? readExactly(text, LEVELS_MAX + 1) : JSON.parse(text)) as Image;
}

/** The image by fields, with the values that the table's own rows have; undeclared columns are left out. */
export function rowOf({ columns }: Declaration, image: Image): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  for (const { field, name, form } of columns) {
    const value = image[name];
    if (value !== undefined) row[field] = value !== null && form.fromImage ? form.fromImage(value) : value;
  }
  return row;
}

/** The key that clients know. */
export const idIn = (table: Declaration, image: Image): string => idOf(table, rowOf(table, image));
