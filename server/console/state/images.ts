import type { Change } from './feed.ts';
import { ID, type Column, type Table } from './tables.ts';
import { shown, type Shown } from './values.ts';

export interface FieldChange {
  field: string;
  /** Null: there was no row, or its values are not told here. */
  before: Shown | null;
  after: Shown | null;
  isChanged: boolean;
}

/** Every field with what it was and what it is; where rows are not told, the names of those that changed. */
export function fieldsOf({ before, after, changedFields }: Change): FieldChange[] {
  const changed = new Set(changedFields);
  const fields = Object.keys(after ?? before ?? {});
  return (fields.length > 0 ? fields : changedFields).map((field) => ({
    field,
    before: before ? shown(before[field]) : null,
    after: after ? shown(after[field]) : null,
    isChanged: changed.has(field),
  }));
}

/** The fields that say what happened: of an update what changed, of a new or a gone row what it is about. */
export function newsOf(change: Change, table: Table | undefined): FieldChange[] {
  const fields = fieldsOf(change).filter(({ field }) => !isBoring(table, field));
  if (change.operation === 'UPDATE') return fields.filter(({ isChanged }) => isChanged);
  return fields.filter(({ before, after }) => !['null', 'flag'].includes((after ?? before)?.kind ?? ''));
}

/** The key, and moments that nobody gives: of every row, and no news where another field is. */
function isBoring(table: Table | undefined, field: string): boolean {
  const column = table?.columns.find(({ name }) => name === field);
  return field === ID || (column !== undefined && column.of === 'DateTime' && !isGiven(table!, column));
}

const isGiven = ({ create, update }: Table, { name }: Column) =>
  [create, update].some((mutation) => mutation?.inputs.some((input) => input.name === name));
