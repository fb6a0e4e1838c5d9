import { LEVELS_MAX, readExactly } from '../lib/exact-json.ts';
import { idOf, tableNamed, type Declaration } from './declaration.ts';

/** A row as JSON, by column names. */
export type Image = Record<string, unknown>;

/** No column has this name: what an image has under it are the columns of which it has the text of their JSON. */
const JSON_TEXTS = '';

/** An image as the log has it. Only tables with numbers that JavaScript would cut pay for exactness; the row is a level of its own. */
export function parseImage(table: string, text: string): Image {
  const isExact = tableNamed(table)?.isLong === true;
  const image = (isExact ? readExactly(text, LEVELS_MAX + 1) : JSON.parse(text)) as Image;
  const names = image[JSON_TEXTS] as string[] | undefined;
  if (names === undefined) return image;
  delete image[JSON_TEXTS];
  for (const name of names) if (image[name] !== null) image[name] = readExactly(image[name] as string);
  return image;
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
