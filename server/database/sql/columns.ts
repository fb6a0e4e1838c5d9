import type { DeclaredColumn } from '../../declare/declaration.ts';
import type { Kind } from '../../declare/kinds.ts';
import { digitsOf } from '../../lib/exact-json.ts';
import { fieldName, quoted, type Fragment, type Sql } from '../connect.ts';

/** A text in a statement that takes no parameters. */
export const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** Statements of PL/pgSQL to be run, quoted by what is not in them: names and labels may have any text. */
export function block(body: string, declarations = ''): string {
  let tag = '$$';
  for (let number = 1; body.includes(tag); number++) tag = `$block${number}$`;
  return `do ${tag} ${declarations}begin ${body} end ${tag}`;
}

/** A table's name as PostgreSQL writes it, `sales.orders` or `"Order"`, with all of its parts in quotes. */
export const identifier = (name: string) =>
  [...name.matchAll(/"((?:[^"]|"")+)"|[^."]+/g)]
    .map(([bare, inner]) => quoted(inner?.replaceAll('""', '"') ?? bare))
    .join('.');

const constants = new Map<string, Fragment>();

/**
 * A constant part of statements, of which there are few: names and types. The driver reads a part and does not change it,
 * so one does for all; to make it costs as much as a whole statement, which is a promise.
 */
export function constant(sql: Sql, text: string): Fragment {
  const made = constants.get(text) ?? sql.unsafe(text);
  constants.set(text, made);
  return made;
}

/** The column of alias t. */
export const nameOf = (sql: Sql, { name }: Pick<DeclaredColumn, 'name'>): Fragment =>
  constant(sql, `t.${quoted(name)}`);

/** Handed on by the driver as it is, under the name of its field. */
export const isPlain = ({ name, field, form }: DeclaredColumn) =>
  form.select === undefined && !/_(?:_|$)/.test(name) && fieldName(name) === field;

/** What is selected of a column of alias t. */
export function selected(column: DeclaredColumn): string {
  const name = `t.${quoted(column.name)}`;
  return isPlain(column) ? name : `${column.form.select?.(name) ?? name} as ${quoted(column.field)}`;
}

/** A value as a parameter that PostgreSQL gives the type of the column beside it. What names a row is the text of its key. */
export function parameter(sql: Sql, { form, kind }: Pick<DeclaredColumn, 'form' | 'kind'>, value: unknown): Fragment {
  if (value === null || (typeof value === 'boolean' && !form.isJson)) return sql`${value}`;
  if (kind === 'reference') return textParameter(sql, { form }, form.parse(value as string) ?? (value as string));
  return form.toText ? cast(sql, form, form.toText(value)) : textParameter(sql, { form }, value as string);
}

/** The text of such a parameter; undefined: it is none that PostgreSQL could refuse. */
export function parameterText(
  { form, kind }: Pick<DeclaredColumn, 'form' | 'kind'>,
  value: unknown,
): string | undefined {
  if (value === null || (typeof value === 'boolean' && !form.isJson)) return undefined;
  if (kind === 'reference') return form.parse(value as string) ?? (value as string);
  return form.toText ? form.toText(value) : digitsOf(value);
}

/** The text of a key or of a position, as PostgreSQL takes it. */
export const textParameter = (sql: Sql, { form }: Pick<DeclaredColumn, 'form'>, text: string | null): Fragment =>
  form.toText || form.isMadeText ? cast(sql, form, text) : sql`${text}`;

const cast = (sql: Sql, { sql: type }: Kind, text: string | null) => sql`${text}::text::${constant(sql, type)}`;

export const joined = (sql: Sql, parts: readonly Fragment[]): Fragment =>
  parts.reduce((some, one) => sql`${some}, ${one}`);

export function all(sql: Sql, conditions: readonly (Fragment | null)[]): Fragment {
  const set = conditions.filter((condition) => condition !== null);
  return set.length === 0 ? sql`true` : set.reduce((both, condition) => sql`${both} and ${condition}`);
}
