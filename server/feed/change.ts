import type { Declaration, DeclaredColumn } from '../declare/declaration.ts';
import { Double } from '../declare/scalars.ts';
import { isoTimestamp, toMicroseconds } from '../lib/time.ts';
import type { ChangeRow, Image } from '../database/sql/change-log.ts';

const fieldNames = new Map<string, string>();

/** `is_active` as `isActive`: asked for every column of every event, and worked out once. */
function toFieldName(column: string): string {
  const known = fieldNames.get(column);
  if (known !== undefined) return known;
  const name = column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  fieldNames.set(column, name);
  return name;
}

/** The image by field names, its values as the table's own rows have them: rules compare them with the same constants. */
export function toRow(image: Image, { columns }: Pick<Declaration, 'columns'>): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  for (const column of columns) {
    const value = image[column.name];
    if (value !== undefined) row[column.field] = asInRows(column, value);
  }
  return row;
}

/** JSON has numbers for a bigint, whose field is a text, and texts for those of a double precision that it has no form for. */
function asInRows({ isTime, type }: DeclaredColumn, value: unknown): unknown {
  if (typeof value === 'number') return type() === String ? String(value) : value;
  if (typeof value !== 'string') return value;
  if (isTime) return isoTimestamp(value);
  return type() === Double ? Number(value) : value;
}

/** Fields whose values differ between the images; all of them for an insert or a delete. */
export function changedFields(before: Image | null, after: Image | null): string[] {
  const columns = Object.keys(after ?? before ?? {});
  const changed = before && after ? columns.filter((column) => !same(before[column], after[column])) : columns;
  return changed.map(toFieldName);
}

const same = (a: unknown, b: unknown) => a === b || JSON.stringify(a) === JSON.stringify(b);

/** Milliseconds from the commit on the primary to the row on the replica; 0 where the two clocks say less, or nothing. */
export function lagMs({ committedAt, appliedAt }: Pick<ChangeRow, 'committedAt' | 'appliedAt'>): number {
  const ms = committedAt === null ? 0 : (toMicroseconds(appliedAt) - toMicroseconds(committedAt)) / 1000;
  return ms > 0 ? ms : 0;
}
