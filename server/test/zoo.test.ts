import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, type Client } from 'graphql-ws';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { addCommand } from '../cli/add.ts';
import { keyIn, type Declaration, type DeclaredColumn } from '../declare/declaration.ts';
import { identifier, quoted } from '../database/sql/columns.ts';
import { digitsOf, parseExactly } from '../lib/exact-json.ts';
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
  const element = (type: unknown): any => (Array.isArray(type) ? element(type[0]) : type);
  const { name } = element(column.type());
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

/** What is given to create a row like this one, or to update it with what it has. */
function inputOf({ columns }: Declaration, row: Row, isCreate: boolean): object {
  const given = columns.filter(({ kind, isKey }) => kind !== 'generated' && (isCreate || !isKey));
  const values = given.map((column) => [
    column.field,
    isReference(column) ? ((row[column.reference!.as] as Row | null)?.id ?? null) : row[column.field],
  ]);
  // Clients send JSON numbers as JavaScript has them.
  const isSafe = (value: unknown) => JSON.stringify(JSON.parse(JSON.stringify(value))) === JSON.stringify(value);
  return Object.fromEntries(values.filter(([, value]) => isSafe(value) && (!isCreate || value !== null)));
}

const digits = (_: string, value: unknown, { source }: { source?: string } = {}) =>
  typeof value === 'number' && source !== undefined && String(value) !== source ? (JSON as any).rawJSON(source) : value;

test(
  'values of every type, under every kind of key and name, are the same wherever they are read',
  { timeout: 300_000 },
  async () => {
    const databases = await freshDatabases();
    onTestFinished(() => databases.drop());
    const { primary } = databases;
    await primary.unsafe(ZOO);
    const root = await projectCopy();
    const said: string[] = [];
    const config = { ...testConfig(), databases: databases.config };
    await addCommand([], { all: true, without: [], send: [] }, config, (line) => said.push(...line.split('\n')), root);
    expect(said.filter((line) => line.startsWith('Not taken'))).toEqual([
      'Not taken: deferred: its primary key is deferrable: PostgreSQL would refuse updates and deletes once it is published.',
      'Not taken: fleeting: it is unlogged, and PostgreSQL sends none of it: run alter table … set logged.',
      'Not taken: keyless: it has no primary key, by which a row could be known: add one.',
      'Not taken: silent: its replica identity is nothing: PostgreSQL would refuse updates and deletes once it is published. Run alter table … replica identity default.',
    ]);
    expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
    expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
    await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
    const { url } = await serve(root, databases);
    await import(join(root, 'dist/schema/project.js'));
    const { allTables } = await import(join(root, 'dist/server/declare/declaration.js'));
    const tables = (allTables() as Declaration[]).filter(({ name }) => name !== 'users' && name !== 'posts');
    expect(tables).toHaveLength(31);
    const zoo = new Zoo(url, tables);
    const client = createClient({
      url: url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      jsonMessageReviver: digits,
    });
    onTestFinished(() => client.dispose());
    const rows = new Map<string, Row[]>();
    for (const table of tables) {
      rows.set(table.name, await zoo.rows(table));
      expect([table.name, rows.get(table.name)!.length]).not.toEqual([table.name, 0]);
      await expectExact(primary, table, rows.get(table.name)!);
    }
    for (const table of tables) await expectSameEverywhere(zoo, client, primary, table, rows.get(table.name)!);
    for (const table of tables) await expectWritten(zoo, table, rows.get(table.name)!);
    const moves = [
      ['by_number', 'amount = amount + 1'],
      ['by_moment', "at = at + interval '1 day' where isfinite(at)"],
      ['by_pair', "right_code = right_code || 'x'"],
      ['by_text', "code = code || 'x'"],
    ] as const;
    for (const [name, move] of moves) {
      const table = tables.find((one) => one.name === name)!;
      const before = await zoo.rows(table);
      const events = client.iterate<any>({
        query:
          'subscription ($tables: [String!]) { changes(tables: $tables, snapshot: true) { __typename ... on Change { operation key } } }',
        variables: { tables: [name] },
      });
      while ((await events.next()).value!.data!.changes.__typename !== 'CaughtUp');
      const { count } = await primary.unsafe(`update ${name} set ${move}`);
      const told: any[] = [];
      while (told.length < 2 * count) {
        const { changes } = (await events.next()).value!.data!;
        if (changes.__typename !== 'CaughtUp') told.push(changes);
      }
      await events.return!();
      expect([name, told.map(({ operation }) => operation)]).toEqual([
        name,
        Array.from({ length: count }, () => ['DELETE', 'INSERT']).flat(),
      ]);
      const after = await zoo.rows(table);
      const moved = (from: Row[], to: Row[]) =>
        from
          .map(({ id }) => id)
          .filter((id) => !to.some((row) => row.id === id))
          .toSorted();
      const keys = (operation: string) =>
        told.flatMap((change): string[] => (change.operation === operation ? [change.key] : [])).toSorted();
      expect([name, keys('DELETE'), keys('INSERT')]).toEqual([name, moved(before, after), moved(after, before)]);
    }
  },
);

async function expectSameEverywhere(
  zoo: Zoo,
  client: Client,
  primary: TestDatabases['primary'],
  table: Declaration,
  rows: Row[],
): Promise<void> {
  const fields = fieldsOf(table);
  for (const row of rows) {
    const data = await zoo.ask(`query ($id: ID!) { ${table.one}(id: $id) ${fields} }`, { id: row.id });
    expect([table.name, data[table.one]]).toEqual([table.name, row]);
  }
  for (const [size, end, from] of [
    ['first', 'endCursor', 'after'],
    ['last', 'startCursor', 'before'],
  ] as const) {
    const paged: Row[] = [];
    for (let cursor: string | null = null; paged.length <= rows.length;) {
      const data: any = await zoo.ask(
        `query ($cursor: String) { ${table.many}(${size}: 1, ${from}: $cursor) { nodes ${fields} pageInfo { ${end} } } }`,
        { cursor },
      );
      const { nodes, pageInfo } = data[table.many];
      if (nodes.length === 0) break;
      paged.push(...nodes);
      cursor = pageInfo[end];
    }
    expect([table.name, size, paged]).toEqual([table.name, size, size === 'first' ? rows : rows.toReversed()]);
  }
  const apart = [table.one].map((name) => `${name} ${fields}`).join(' ');
  const query = `subscription ($tables: [String!]) { changes(tables: $tables, snapshot: true) { __typename
    ... on SnapshotRow { table key ${apart} } ... on ${table.type.name}Change { table key operation ${apart} before ${fields} } } }`;
  const events = client.iterate<any>({ query, variables: { tables: [table.name] } });
  const next = async () => (await events.next()).value!.data!.changes;
  const snapshot: any[] = [];
  for (let event = await next(); event.__typename !== 'CaughtUp'; event = await next()) snapshot.push(event);
  const byId = (list: Row[]) => Object.fromEntries(list.map((row) => [row.id, row]));
  expect(byId(snapshot.map((event) => event[table.one]))).toEqual(byId(rows));
  expect(snapshot.map(({ table: name, key }) => [name, key])).toEqual(
    snapshot.map((event) => [table.name, event[table.one].id]),
  );
  const { name } = table.columns.at(-1)!;
  await primary.unsafe(
    `update ${table.name === 'parts' ? '' : 'only '}${identifier(table.name)} set ${quoted(name)} = ${quoted(name)}`,
  );
  const told: any[] = [];
  while (told.length < rows.length) {
    const event = await next();
    if (event.__typename !== 'CaughtUp') told.push(event);
  }
  expect([table.name, new Set(told.map(({ operation }) => operation))]).toEqual([table.name, new Set(['UPDATE'])]);
  expect(byId(told.map((event) => event[table.one]))).toEqual(byId(rows));
  expect(byId(told.map(({ before }) => before))).toEqual(byId(rows));
  expect(told.map(({ table: of, key }) => [of, key])).toEqual(told.map((event) => [table.name, event[table.one].id]));
  await events.return!();
}

/** A row given its own values stays as it is; one that is deleted can be made again. */
async function expectWritten(zoo: Zoo, table: Declaration, rows: Row[]): Promise<void> {
  const { one, type } = table;
  const fields = fieldsOf(table);
  for (const row of rows) {
    const update = `mutation ($id: ID!, $input: Update${type.name}Input!) { update${type.name}(id: $id, input: $input) { ${one} ${fields} } }`;
    const updated = await zoo.ask(update, { id: row.id, input: inputOf(table, row, false) });
    expect([table.name, updated[`update${type.name}`][one]]).toEqual([table.name, row]);
  }
  const last = rows.at(-1)!;
  if (table.name.startsWith('sales.')) return; // They refer to each other.
  await zoo.ask(`mutation ($id: ID!) { delete${type.name}(id: $id) { bookmark } }`, { id: last.id });
  const create = `mutation ($input: Create${type.name}Input!) { create${type.name}(input: $input) { ${one} ${fields} } }`;
  const input = inputOf(table, last, true);
  const created = (await zoo.ask(create, { input }))[`create${type.name}`][one];
  const given = (row: Row) => Object.fromEntries(Object.keys(input).map((field) => [field, row[field]]));
  expect([table.name, given(created)]).toEqual([table.name, given(last)]);
}
