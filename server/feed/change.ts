import { toMicroseconds } from '../lib/time.ts';
import type { ChangeRow, Image } from '../database/sql/change-log.ts';

const fieldNames = new Map<string, string>();

/** `is_active` as `isActive`: asked for every column of every event, and worked out once. */
export function toFieldName(column: string): string {
  const known = fieldNames.get(column);
  if (known !== undefined) return known;
  const name = column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  fieldNames.set(column, name);
  return name;
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
