import { Digits } from '../api/json.ts';
import { ID, type Column, type Table } from './tables.ts';

export type Row = Readonly<Record<string, unknown>>;

/** A value as one reads it, with its kind, by which it is set. */
export interface Shown {
  kind: 'null' | 'text' | 'number' | 'flag' | 'code';
  /** In a line. */
  text: string;
  /** All of it, as far as anybody reads on. */
  full: string;
}

const LONGEST = 80;
const LONGEST_FULL = 2000;

/** How null is told from the text of four letters: by its kind. */
const NULL: Shown = { kind: 'null', text: 'null', full: 'null' };

export function shown(value: unknown): Shown {
  if (value === null || value === undefined) return NULL;
  if (typeof value === 'boolean') return whole('flag', String(value));
  if (typeof value === 'number' || value instanceof Digits) return whole('number', textOf(value));
  return whole(typeof value === 'string' ? 'text' : 'code', textOf(value));
}

const whole = (kind: Shown['kind'], text: string): Shown => ({
  kind,
  text: cut(text.replace(/\s+/g, ' '), LONGEST),
  full: cut(text, LONGEST_FULL),
});

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** A value that is not null, as text: JSON where it is no text itself. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return value instanceof Digits ? value.text : JSON.stringify(value);
}

/** How texts of these types look. */
export const EXAMPLES: Readonly<Record<string, string>> = {
  BigInt: '1',
  Decimal: '1.5',
  DateTime: '2026-01-31T12:00:00Z',
  LocalDateTime: '2026-01-31T12:00:00',
  Date: '2026-01-31',
  Time: '12:00:00',
  TimeTz: '12:00:00+02',
  Interval: 'P1DT2H',
  UUID: '3fa85f64-5717-4562-b3fc-2c963f66afa6',
  Bytes: 'AAECAw==',
};

/** What a person would call the row: its first text that is never null and stands in a line, else its key. */
export function nameOf(table: Table | undefined, row: Row | null, key: string): string {
  const column = table?.columns.find(isName);
  const value = column && row?.[column.name];
  return typeof value === 'string' && value.trim() !== '' ? cut(value, LONGEST) : key;
}

const isName = ({ name, of, isList, isRequired }: Column) => of === 'String' && !isList && isRequired && name !== ID;
