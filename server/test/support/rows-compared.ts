import { expect } from 'vitest';
import { keyIn, type Declaration, type DeclaredColumn } from '../../declare/declaration.ts';
import { quoted } from '../../database/connect.ts';
import { identifier } from '../../database/sql/columns.ts';
import { digitsOf, parseExactly } from '../../lib/exact-json.ts';
import type { TestDatabases } from './databases.ts';

export type Row = Record<string, unknown> & { id: string };

/** Asks a server about tables, by their declarations. */
export class TableClient {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  /** With all digits. */
  async ask(query: string, variables: object = {}): Promise<any> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'readback-consistency': 'strong' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = parseExactly(await response.text()) as any;
    const shown = [
      query.slice(0, 300),
      JSON.stringify(variables).slice(0, 500),
      JSON.stringify(errors ?? data).slice(0, 1000),
    ];
    if (errors || !data) throw new Error(shown.join(': '));
    return data;
  }

  /** With all digits, too. */
  async rest(method: string, path: string, given?: object) {
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { 'content-type': 'application/json', 'readback-consistency': 'strong' },
      ...(given !== undefined && { body: JSON.stringify(given) }),
    });
    const { status, headers } = response;
    const body = parseExactly(await response.text()) as any;
    return { status, body, link: headers.get('link'), location: headers.get('location') };
  }

  async rows(table: Declaration): Promise<Row[]> {
    const data = await this.ask(`{ ${table.many}(first: 100) { nodes ${fieldsOf(table)} } }`);
    return data[table.many].nodes;
  }
}

const isReference = ({ kind }: DeclaredColumn) => kind === 'reference';

export function fieldsOf({ columns }: Declaration): string {
  const fields = columns.map(({ field, reference }) => (reference ? `${reference.as} { id }` : field));
  return `{ ${[...new Set(['id', ...fields])].join(' ')} }`;
}

const elementOf = (type: unknown): any => (Array.isArray(type) ? elementOf(type[0]) : type);

const enumOf = ({ type }: DeclaredColumn) => {
  const of = elementOf(type()) as Record<string, string>;
  return Object.getPrototypeOf(of) === Object.prototype && !('serialize' in of) ? of : undefined;
};

/** What a client got, as PostgreSQL's text: by another way than the server's own. */
function toText(column: DeclaredColumn, value: unknown): string | null {
  if (value === null) return null;
  if (isReference(column)) return column.form.parse(value as string)!;
  const labels = enumOf(column);
  const { name } = elementOf(column.type());
  const one = (item: unknown): unknown => {
    if (item === null) return null;
    if (labels) return labels[item as string];
    if (name === 'Bytes') return `\\x${Buffer.from(item as string, 'base64').toString('hex')}`;
    if (name === 'JSON') return JSON.stringify(item);
    return digitsOf(item);
  };
  const each = (item: unknown): unknown => (Array.isArray(item) ? item.map(each) : one(item));
  // The elements of a list of JSON may be lists themselves.
  const items = name === 'JSON' ? (value as unknown[]) : undefined;
  if (!Array.isArray(column.type())) return String(one(value));
  return listText(items ? items.map(one) : (each(value) as unknown[]));
}

const listText = (list: unknown[]): string =>
  `{${list.map((item) => (item === null ? 'NULL' : Array.isArray(item) ? listText(item) : JSON.stringify(item))).join(',')}}`;

/** jsonb, lists of it, and what is named after neither are compared as PostgreSQL has them; what json has is its text. */
const isJsonText = ({ type, form }: DeclaredColumn) => elementOf(type()).name === 'JSON' && !/^jsonb\b/.test(form.sql);

/** Each value of each row is equal to its column's, both as text. */
export async function expectExact(
  sql: TestDatabases['primary'],
  table: Declaration,
  rows: readonly Row[],
  from = identifier(table.name),
): Promise<void> {
  for (const row of rows) {
    const keys = keyIn(table, row.id)!;
    const where = table.key
      .map(({ name, form }, part) => `t.${quoted(name)} = $${part + 1}::text::${form.sql}`)
      .join(' and ');
    for (const column of table.columns) {
      const { reference, field, name, form } = column;
      const value = reference ? ((row[reference.as] as Row | null)?.id ?? null) : row[field];
      if (isJsonText(column)) {
        const [is] = await sql.unsafe(`select to_json(t.${quoted(name)})::text as json from ${from} t where ${where}`, [
          ...keys,
        ]);
        expect([table.name, field, JSON.stringify(value)]).toEqual([
          table.name,
          field,
          JSON.stringify(parseExactly(is!['json'] ?? 'null')),
        ]);
        continue;
      }
      const there = `t.${quoted(name)}::text`;
      const back = form.sql === 'text' ? `$${keys.length + 1}::text` : `($${keys.length + 1}::text)::${form.sql}::text`;
      const found = await sql.unsafe(`select ${there} as there, ${back} as back from ${from} t where ${where}`, [
        ...keys,
        toText(column, value),
      ]);
      expect([table.name, field, found.length, found[0]?.['back']]).toEqual([
        table.name,
        field,
        1,
        found[0]?.['there'],
      ]);
    }
  }
}

/** An answer's `id` is a text, an input's has the column's type. */
const ofInput = ({ type }: DeclaredColumn, value: unknown): unknown =>
  typeof value === 'string' && /^(?:Boolean|Int)$/.test((type() as { name?: string }).name ?? '')
    ? JSON.parse(value)
    : value;

/** What is given to create a row like this one, or to update it with what it has. */
export function inputOf({ columns }: Declaration, row: Row, isCreate: boolean): object {
  const given = columns.filter(({ kind, isKey }) => kind !== 'generated' && (isCreate || !isKey));
  const values = given.map((column) => [
    column.field,
    isReference(column) ? ((row[column.reference!.as] as Row | null)?.id ?? null) : ofInput(column, row[column.field]),
  ]);
  return Object.fromEntries(values);
}

/** Numbers that JavaScript would cut stay as they came. */
export const digits = (_: string, value: unknown, { source }: { source?: string } = {}) =>
  typeof value === 'number' && source !== undefined && String(value) !== source ? (JSON as any).rawJSON(source) : value;
