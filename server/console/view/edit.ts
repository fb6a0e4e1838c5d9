import { load } from '../state/form.ts';
import { choose } from '../state/schema.ts';
import type { Table } from '../state/tables.ts';
import type { Row } from '../state/values.ts';

/** Brings a row into the form, and the form into view. */
export function edit(table: Table, row: Row): void {
  choose(table);
  load(row);
  const form = document.getElementById('form');
  form?.scrollIntoView({ block: 'nearest' });
  form?.focus({ preventScroll: true });
}
