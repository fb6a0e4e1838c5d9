import { toMicroseconds } from '../lib/time.ts';
import type { ChangeRow } from '../database/sql/change-log.ts';
import type { Declaration } from '../declare/declaration.ts';
import type { Image } from '../declare/images.ts';

/** Fields whose values differ between the images, in the order of these; all of them for an insert or a delete. */
export function changedFields({ columns }: Declaration, before: Image | null, after: Image | null): string[] {
  const names = Object.keys(after ?? before ?? {});
  const changed = before && after ? names.filter((name) => !same(before[name], after[name])) : names;
  return changed.flatMap((name) => columns.find((column) => column.name === name)?.field ?? []);
}

const same = (a: unknown, b: unknown) => a === b || JSON.stringify(a) === JSON.stringify(b);

/** Milliseconds from the commit on the primary to the row on the replica; 0 where the two clocks say less, or nothing. */
export function lagMs({ committedAt, appliedAt }: Pick<ChangeRow, 'committedAt' | 'appliedAt'>): number {
  const ms = committedAt === null ? 0 : (toMicroseconds(appliedAt) - toMicroseconds(committedAt)) / 1000;
  return ms > 0 ? ms : 0;
}
