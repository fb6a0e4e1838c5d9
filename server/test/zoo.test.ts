import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from 'graphql-ws';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { addCommand } from '../cli/add.ts';
import { keyIn, type Declaration, type DeclaredColumn } from '../declare/declaration.ts';
import { arrayText } from '../declare/kinds.ts';
import { identifier, quoted } from '../database/sql/columns.ts';
import { parseExactly } from '../lib/exact-json.ts';
import { projectRoot } from '../lib/root.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { projectCopy, run, serve } from './support/project-copy.ts';

const ZOO = readFileSync(join(projectRoot, 'server/test/fixtures/zoo.sql'), 'utf8');

type Row = Record<string, unknown> & { id: string };

/** A GraphQL server over tables, by their declarations. */
class Zoo {
  readonly url: string;
  readonly tables: readonly Declaration[];

  constructor(url: string, tables: readonly Declaration[]) {
    this.url = url;
    this.tables = tables;
  }

  /** With all digits. */
  async ask(query: string, variables: object = {}): Promise<any> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'readback-consistency': 'strong' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = parseExactly(await response.text()) as any;
    if (errors) throw new Error(`${query.slice(0, 300)}: ${JSON.stringify(errors).slice(0, 1000)}`);
    return data;
  }

  async rows(table: Declaration): Promise<Row[]> {
    const data = await this.ask(`{ ${table.many}(first: 100) { nodes ${fieldsOf(table)} } }`);
    return data[table.many].nodes;
  }
}

const isReference = ({ kind }: DeclaredColumn) => kind === 'reference';

function fieldsOf({ columns }: Declaration): string {
  const fields = columns.map(({ field, reference }) => (reference ? `${reference.as} { id }` : field));
  return `{ ${[...new Set(['id', ...fields])].join(' ')} }`;
}

const enumOf = ({ type }: DeclaredColumn) => {
  const one = type();
  const of = (Array.isArray(one) ? one[0] : one) as Record<string, string>;
  return Object.getPrototypeOf(of) === Object.prototype && !('serialize' in of) ? of : undefined;
};

/** What a client got, as PostgreSQL's text: by another way than the server's own. */
function toText(column: DeclaredColumn, value: unknown): string | null {
  if (value === null) return null;
  const labels = enumOf(column);
  const one = (item: unknown): unknown => {
    if (Array.isArray(item)) return item.map(one);
    if (item === null) return null;
    if (labels) return labels[item as string];
    const scalar = column.type() as any;
    const { name } = Array.isArray(scalar) ? scalar[0] : scalar;
    if (name === 'Bytes') return `\\x${Buffer.from(item as string, 'base64').toString('hex')}`;
    if (name === 'JSON') return JSON.stringify(item);
    return typeof item === 'object' ? (item as { rawJSON: string }).rawJSON : String(item);
  };
  return Array.isArray(column.type()) ? arrayText(one(value) as unknown[]) : String(one(value));
}

const castOf = ({ form }: DeclaredColumn) => (form.sql === 'json' ? 'jsonb' : form.sql);

/** Each value of each row is equal to its column's, both as text. */
async function expectExact(sql: TestDatabases['primary'], table: Declaration, rows: readonly Row[]): Promise<void> {
  for (const row of rows) {
    const keys = keyIn(table, row.id)!;
    const where = table.key
      .map(({ name, form }, part) => `t.${quoted(name)} = $${part + 1}::text::${form.sql}`)
      .join(' and ');
    for (const column of table.columns) {
      const { reference, field, name } = column;
      const value = reference ? ((row[reference.as] as Row | null)?.id ?? null) : row[field];
      const there = `t.${quoted(name)}${castOf(column) === 'jsonb' ? '::jsonb' : ''}::text`;
      const back =
        castOf(column) === 'text'
          ? `$${keys.length + 1}::text`
          : `($${keys.length + 1}::text)::${castOf(column)}::text`;
      const found = await sql.unsafe(
        `select ${there} as there, ${back} as back from ${table.name === 'parts' ? '' : 'only '}${identifier(table.name)} t where ${where}`,
        [...keys, toText(column, value)],
      );
      expect([table.name, field, found.length, found[0]?.['back']]).toEqual([
        table.name,
        field,
        1,
        found[0]?.['there'],
      ]);
    }
  }
}

test('zoo', { timeout: 240_000 }, async () => {
  const databases = await freshDatabases();
  const { primary } = databases;
  await primary.unsafe(ZOO);
  const root = await projectCopy();
  const said: string[] = [];
  await addCommand(
    [],
    { all: true, without: [], send: [] },
    { ...testConfig(), databases: databases.config },
    (line) => said.push(line),
    root,
  );
  expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
  await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
  const { url } = await serve(root, databases);
  await import(join(root, 'dist/schema/project.js'));
  const { allTables } = await import(join(root, 'dist/server/declare/declaration.js'));
  const tables = (allTables() as Declaration[]).filter(({ name }) => name !== 'users' && name !== 'posts');
  const zoo = new Zoo(url, tables);
  const all = new Map<string, Row[]>();
  for (const table of tables) {
    const rows = await zoo.rows(table);
    all.set(table.name, rows);
    expect([table.name, rows.length]).not.toEqual([table.name, 0]);
    await expectExact(primary, table, rows);
    for (const row of rows) {
      const data = await zoo.ask(`query ($id: ID!) { ${table.one}(id: $id) ${fieldsOf(table)} }`, { id: row.id });
      expect(data[table.one]).toEqual(row);
    }
  }
});
void WebSocket;
void createClient;
void isReference;
