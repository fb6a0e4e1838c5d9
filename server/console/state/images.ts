import type { Change } from './feed.ts';

type Image = Record<string, unknown> | null;

export interface FieldChange {
  field: string;
  before: string | null;
  after: string | null;
  isChanged: boolean;
}

/** Of every row, and no news where another field is. */
const BORING = new Set(['id', 'createdAt', 'updatedAt']);

export function imagesOf(change: Change): { before: Image; after: Image } {
  return change.__typename === 'UserChange'
    ? { before: change.before ?? null, after: change.user ?? null }
    : { before: change.postBefore ?? null, after: change.post ?? null };
}

/** Every field with what it was and what it is. */
export function fieldsOf(change: Change): FieldChange[] {
  const { before, after } = imagesOf(change);
  const changed = new Set(change.changedFields);
  return Object.keys(after ?? before ?? {}).map((field) => ({
    field,
    before: before && text(before[field]),
    after: after && text(after[field]),
    isChanged: changed.has(field),
  }));
}

/** The fields that say what happened. */
export function newsOf(change: Change): FieldChange[] {
  const fields = fieldsOf(change).filter(({ before, after }) => before !== null || after !== null);
  const changed = change.operation === 'UPDATE' ? fields.filter(({ isChanged }) => isChanged) : fields;
  const news = changed.filter(({ field, before, after }) => !BORING.has(field) && (before ?? after) !== '–');
  return change.operation === 'UPDATE' ? changed.filter(({ field }) => !BORING.has(field)) : news;
}

/** What a person would call the row. */
export function nameOf(change: Change): string {
  const { before, after } = imagesOf(change);
  const row = after ?? before ?? {};
  return String(row['username'] ?? row['title'] ?? change.key);
}

function text(value: unknown): string {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value);
}
