import { batch, effect, signal, untracked } from '@preact/signals';
import { ask, Refusal } from '../api/ask.ts';
import { writeOf } from './documents.ts';
import { blank, draftOf, nameIn, read, type Draft, type Entry } from './draft.ts';
import { readAgain } from './page.ts';
import { chosen } from './schema.ts';
import { ID, type Input, type Mutation, type Table } from './tables.ts';
import { nameOf, type Row } from './values.ts';
import type { Operation } from '../../../schema/generated/operations.ts';
import { send } from './write.ts';

/** The row that the form changes; null: it makes a new one. */
export const edited = signal<Row | null>(null);
export const draft = signal<Draft>({});
export const isSending = signal(false);
/** What is wrong, by field; under no field: with the whole. */
export const faults = signal<Readonly<Record<string, string>>>({});

/** Of an update: what was there when it was begun. */
let original: Draft | undefined;

/** The form is for the table that is looked at. */
export function followForm(): void {
  let before: string | undefined;
  effect(() => {
    const table = chosen.value;
    if (table?.name !== before) untracked(createAnother);
    before = table?.name;
  });
}

export const inputsOf = ({ create, update }: Table, row: Row | null): readonly Input[] =>
  (row ? update : create)?.inputs ?? [];

export function createAnother(): void {
  const { value: table } = chosen;
  batch(() => {
    edited.value = null;
    draft.value = table ? blank(inputsOf(table, null)) : {};
    faults.value = {};
  });
  original = undefined;
}

export function load(row: Row): void {
  const { value: table } = chosen;
  if (!table) return;
  original = draftOf(inputsOf(table, row), row);
  batch(() => ((edited.value = row), (draft.value = original!), (faults.value = {})));
}

export function setEntry(name: string, entry: Entry): void {
  draft.value = { ...draft.value, [name]: entry };
}

/** Creates or changes the row. */
export async function submit(table: Table): Promise<void> {
  const { value: row } = edited;
  const inputs = inputsOf(table, row);
  const { input, faults: found } = read(inputs, draft.value, original);
  if (Object.keys(found).length > 0) faults.value = found;
  else if (row && Object.keys(input).length === 0) faults.value = { '': 'Nothing is changed yet.' };
  else if (row) await attempt(inputs, () => change(table, row, input));
  else await attempt(inputs, () => create(table, inputs, input));
}

async function create(table: Table, inputs: readonly Input[], input: Row): Promise<void> {
  const title = nameIn(inputs, draft.value, table) ?? 'a row';
  await write(table, table.create!, 'INSERT', title, { input });
  createAnother();
}

async function change(table: Table, row: Row, input: Row): Promise<void> {
  const variables = { id: row[ID], input };
  load(await write(table, table.update!, 'UPDATE', nameOf(table, row, String(row[ID])), variables));
}

export async function remove(table: Table, row: Row): Promise<void> {
  await attempt([], async () => {
    await write(table, table.delete!, 'DELETE', nameOf(table, row, String(row[ID])), { id: row[ID] });
    createAnother();
  });
}

type Answer = { written: { bookmark: string; row: Row } };

async function write(
  table: Table,
  mutation: Mutation,
  operation: Operation,
  title: string,
  variables: { id?: unknown; input?: Row },
): Promise<Row> {
  const document = writeOf(table, mutation, operation !== 'INSERT');
  let row: Row = {};
  await send(operation, `${title} · ${table.name}`, async () => {
    const { written } = await ask<Answer, object>(document, variables);
    row = written.row;
    const given = Object.keys(variables.input ?? {}).filter((name) => name in row);
    return { type: table.change?.type, key: String(row[ID]), bookmark: written.bookmark, row, given };
  });
  readAgain();
  return row;
}

/** One write at a time. What the server refuses is shown at its field, or at the form where it has no such field. */
async function attempt(inputs: readonly Input[], work: () => Promise<void>): Promise<void> {
  batch(() => ((isSending.value = true), (faults.value = {})));
  try {
    await work();
  } catch (error) {
    const { message, field } = error instanceof Refusal ? error : { message: String(error) };
    const isShown = inputs.some(({ name }) => name === field);
    faults.value = { [isShown ? field! : '']: message };
  } finally {
    isSending.value = false;
  }
}
