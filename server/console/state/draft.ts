import { exactly } from '../api/json.ts';
import { ID, type Column, type Input, type Table } from './tables.ts';
import { textOf, type Row } from './values.ts';

/** What is in one field of the form. `out`: it is left out, so that it gets its default, or stays as it is. */
export interface Entry {
  how: 'out' | 'null' | 'value';
  text: string;
}

export type Draft = Readonly<Record<string, Entry>>;

/** What goes to the server, or what is wrong with which field. */
export interface Read {
  input: Record<string, unknown>;
  faults: Readonly<Record<string, string>>;
}

const OUT: Entry = { how: 'out', text: '' };

/** For a new row: all that need not be given is left out. */
export const blank = (inputs: readonly Input[]): Draft =>
  Object.fromEntries(inputs.map(({ name, isRequired }) => [name, isRequired ? { how: 'value', text: '' } : OUT]));

/** For a row that is there. What can be written and not read is left out. */
export const draftOf = (inputs: readonly Input[], row: Row): Draft =>
  Object.fromEntries(inputs.map((input) => [input.name, entryOf(input, row[input.name])]));

function entryOf({ of, isList }: Input, value: unknown): Entry {
  if (value === undefined) return OUT;
  if (value === null) return { how: 'null', text: '' };
  return { how: 'value', text: isWrittenAsJson({ of, isList }) ? JSON.stringify(value, null, 2) : textOf(value) };
}

export const isWrittenAsJson = ({ of, isList }: Pick<Column, 'of' | 'isList'>) => isList || of === 'JSON';

/** How the field may be filled in. Null only where the row's own column may be null, or is not known. */
export function waysOf(input: Input, table: Table, isNew: boolean): Entry['how'][] {
  const column = table.columns.find(({ name }) => name === input.name);
  const mayBeNull = !input.type.endsWith('!') && column?.isRequired !== true;
  const mayBeOut = !input.isRequired && (isNew || column === undefined);
  return [...(mayBeOut ? ['out' as const] : []), ...(mayBeNull ? ['null' as const] : []), 'value'];
}

/** A text that goes to the server and is never shown again: the rows have no such column. */
export const isSecret = ({ name, of, isList }: Input, { columns }: Table) =>
  of === 'String' && !isList && columns.every((column) => column.name !== name);

/** What the draft says, of an update only what differs from what was there. */
export function read(inputs: readonly Input[], draft: Draft, original?: Draft): Read {
  const input: Record<string, unknown> = {};
  const faults: Record<string, string> = {};
  for (const one of inputs) {
    const entry = draft[one.name] ?? OUT;
    const before = original?.[one.name];
    if (entry.how === 'out' || (before?.how === entry.how && before.text === entry.text)) continue;
    try {
      input[one.name] = entry.how === 'null' ? null : valueOf(one, entry.text);
    } catch (error) {
      faults[one.name] = (error as Error).message;
    }
  }
  return { input, faults };
}

/** @throws Error that says what was expected. */
function valueOf(column: Column, text: string): unknown {
  if (isWrittenAsJson(column)) return listOrJson(column, text);
  switch (column.of) {
    case 'Boolean':
      return text === 'true';
    case 'Int':
      return wholeNumber(text);
    case 'Float':
    case 'Double':
      return numberOrName(text);
    default:
      return text;
  }
}

function listOrJson({ isList, type }: Column, text: string): unknown {
  const value = parsed(text);
  if (isList && !Array.isArray(value)) throw new Error(`Expected a list as JSON, for ${type}: ["a", null].`);
  return value;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text, exactly);
  } catch (error) {
    throw new Error(`This is no JSON: ${(error as Error).message}`, { cause: error });
  }
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (text.trim() !== '' && Number.isInteger(number)) return number;
  throw new Error('Expected a whole number.');
}

/** NaN and the infinities have no form in JSON: the server takes them as text, and says so where it does not. */
function numberOrName(text: string): number | string {
  const number = Number(text);
  return text.trim() !== '' && Number.isFinite(number) ? number : text.trim();
}

/** What the row is called by the form, before the server has answered. */
export function nameIn(inputs: readonly Input[], draft: Draft, table: Table): string | undefined {
  const texts = inputs.filter((input) => input.of === 'String' && input.name !== ID && !isSecret(input, table));
  const text = texts.map(({ name }) => draft[name]).find((entry) => entry?.how === 'value' && entry.text !== '');
  return text?.text;
}
