import type { Change } from './feed.ts';

type Image = Record<string, unknown> | null;

/** How a field without a value is shown. */
const NOTHING = '–';

export interface FieldChange {
  field: string;
  before: string | null;
  after: string | null;
  isChanged: boolean;
  /** Yes or no: says little by itself. */
  isFlag: boolean;
}

/** Of every row, and no news where another field is. */
const BORING = new Set(['id', 'createdAt', 'updatedAt']);

/** Of a table that this page does not know, there are none: the names of the fields that changed have to do. */
function imagesOf(change: Change): { before: Image; after: Image } {
  switch (change.__typename) {
    case 'UserChange':
      return { before: change.before ?? null, after: change.user ?? null };
    case 'PostChange':
      return { before: change.postBefore ?? null, after: change.post ?? null };
    default:
      return { before: null, after: null };
  }
}

/** Every field with what it was and what it is. */
export function fieldsOf(change: Change): FieldChange[] {
  const { before, after } = imagesOf(change);
  const changed = new Set(change.changedFields);
  const fields = Object.keys(after ?? before ?? {});
  return (fields.length > 0 ? fields : change.changedFields).map((field) => ({
    field,
    before: before && text(before[field]),
    after: after && text(after[field]),
    isChanged: changed.has(field),
    isFlag: typeof (after ?? before)?.[field] === 'boolean',
  }));
}

/** The fields that say what happened: of an update what changed, of a new or a gone row what it is about. */
export function newsOf(change: Change): FieldChange[] {
  const fields = fieldsOf(change).filter(({ field }) => !BORING.has(field));
  if (change.operation === 'UPDATE') return fields.filter(({ isChanged }) => isChanged);
  return fields.filter(({ before, after, isFlag }) => !isFlag && (before ?? after) !== NOTHING);
}

/** What a person would call the row. */
export function nameOf(change: Change): string {
  const { before, after } = imagesOf(change);
  const row = after ?? before ?? {};
  return text(row['username'] ?? row['title'] ?? change.key);
}

function text(value: unknown): string {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
