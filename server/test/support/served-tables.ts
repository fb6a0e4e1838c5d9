import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, type Client } from 'graphql-ws';
import { expect, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { addCommand } from '../../cli/add.ts';
import { quoted } from '../../database/connect.ts';
import { identifier } from '../../database/sql/columns.ts';
import { keyIn, type Declaration } from '../../declare/declaration.ts';
import { verify } from '../../operate/verify/verify.ts';
import { withServers } from '../../setup/servers.ts';
import { setUp } from '../../setup/setup.ts';
import { testConfig, type TestDatabases } from './databases.ts';
import { projectCopy, run, serve } from './project-copy.ts';
import { TableClient, digits, fieldsOf, inputOf, type Row } from './rows-compared.ts';

/** The tables of a primary that `add --all` has found, and who asks about them. */
export interface ServedTables {
  /** Lines of `add`. */
  said: string[];
  root: string;
  /** Without the example's. */
  tables: Declaration[];
  url: string;
  asks: TableClient;
  client: Client;
  primary: TestDatabases['primary'];
  /** What the server has written so far. */
  output: () => string;
}

/** Adds all tables of the primary to a copy of the project, with REST, builds it, migrates, and serves. */
export async function serveAllTables(databases: TestDatabases): Promise<ServedTables> {
  const root = await projectCopy();
  const said: string[] = [];
  const config = { ...testConfig(), databases: databases.config };
  await addCommand([], { all: true, without: [], send: [] }, config, (line) => said.push(...line.split('\n')), root);
  addRest(join(root, 'schema/tables'));
  expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
  await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
  const { url, output } = await serve(root, databases);
  await import(join(root, 'dist/schema/project.js'));
  const { allTables } = await import(join(root, 'dist/server/declare/declaration.js'));
  const tables = (allTables() as Declaration[]).filter(({ name }) => !EXAMPLE.includes(name));
  const client = createClient({
    url: url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    jsonMessageReviver: digits,
  });
  onTestFinished(() => client.dispose());
  return { said, root, tables, url, asks: new TableClient(url), client, primary: databases.primary, output };
}

const EXAMPLE = ['users', 'posts'];

function addRest(folder: string): void {
  for (const name of readdirSync(folder)) {
    const code = readFileSync(join(folder, name), 'utf8');
    const withRest = code.replace(
      /^@Table\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(, \{)?/m,
      (_, table: string, options?: string) => `@Table(${table}, { rest: true${options === undefined ? ' }' : ','}`,
    );
    if (!EXAMPLE.includes(name.replace(/\.ts$/, ''))) writeFileSync(join(folder, name), withRest);
  }
}

/** Without those that inherit from it, unless it is partitioned. */
export async function onlyOf({ primary }: Pick<ServedTables, 'primary'>, { name }: Declaration): Promise<string> {
  const [table] = await primary.unsafe(
    `select relkind = 'p' as is_partitioned from pg_class where oid = $1::text::regclass`,
    [identifier(name)],
  );
  return `${table!['is_partitioned'] ? '' : 'only '}${identifier(name)}`;
}

const byId = (rows: readonly Row[]) => Object.fromEntries(rows.map((row) => [row.id, row]));

/** The rows are the same by id, by pages from both ends, in a snapshot, and in the events of an update. */
export async function expectSameEverywhere(served: ServedTables, table: Declaration, rows: Row[]): Promise<void> {
  const fields = fieldsOf(table);
  for (const row of rows) {
    const data = await served.asks.ask(`query ($id: ID!) { ${table.one}(id: $id) ${fields} }`, { id: row.id });
    expect([table.name, data[table.one]]).toEqual([table.name, row]);
  }
  expect([table.name, await paged(served, table, 'first')]).toEqual([table.name, rows]);
  expect([table.name, await paged(served, table, 'last')]).toEqual([table.name, rows.toReversed()]);
  await expectSameInFeed(served, table, rows);
}

/** Row by row. */
async function paged({ asks }: ServedTables, table: Declaration, size: 'first' | 'last'): Promise<Row[]> {
  const [end, from] = size === 'first' ? (['endCursor', 'after'] as const) : (['startCursor', 'before'] as const);
  const query = `query ($cursor: String) { ${table.many}(${size}: 1, ${from}: $cursor) { nodes ${fieldsOf(table)} pageInfo { ${end} } } }`;
  const rows: Row[] = [];
  for (let cursor: string | null = null; rows.length <= 100;) {
    const { nodes, pageInfo }: { nodes: Row[]; pageInfo: Record<string, string> } = (await asks.ask(query, { cursor }))[
      table.many
    ];
    if (nodes.length === 0) break;
    rows.push(...nodes);
    cursor = pageInfo[end]!;
  }
  return rows;
}

async function expectSameInFeed(served: ServedTables, table: Declaration, rows: Row[]): Promise<void> {
  const { one, type, name } = table;
  const fields = fieldsOf(table);
  const query = `subscription ($tables: [String!]) { changes(tables: $tables, snapshot: true) { __typename
    ... on SnapshotRow { table key ${one} ${fields} } ... on ${type.name}Change { table key operation ${one} ${fields} before ${fields} } } }`;
  const events = served.client.iterate<any>({ query, variables: { tables: [name] } });
  const next = async () => {
    const { data, errors } = (await events.next()).value!;
    if (errors) throw new Error(`${query.slice(0, 300)}: ${JSON.stringify(errors).slice(0, 1000)}`);
    return data!.changes;
  };
  const snapshot: any[] = [];
  for (let event = await next(); event.__typename !== 'CaughtUp'; event = await next()) snapshot.push(event);
  expect([name, byId(snapshot.map((event) => event[one]))]).toEqual([name, byId(rows)]);
  expect(snapshot.map((event) => [event.table, event.key])).toEqual(snapshot.map((event) => [name, event[one].id]));
  const told: any[] = [];
  const isTold = await rewrite(served, table);
  while (isTold && told.length < rows.length) {
    const event = await next();
    if (event.__typename !== 'CaughtUp') told.push(event);
  }
  await events.return!();
  if (!isTold) return;
  expect([name, byId(told.map((event) => event[one]))]).toEqual([name, byId(rows)]);
  expect([name, byId(told.map(({ before }) => before))]).toEqual([name, byId(rows)]);
  expect(told.map((event) => [event.operation, event.table, event.key])).toEqual(
    told.map((event) => ['UPDATE', name, event[one].id]),
  );
}

/** Each row as it is. False: PostgreSQL makes all of its values. */
async function rewrite(served: ServedTables, table: Declaration): Promise<boolean> {
  const { primary } = served;
  const settable = await primary.unsafe(
    `select attname as name from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
       and attgenerated = '' and attidentity <> 'a'`,
    [identifier(table.name)],
  );
  const column = table.columns.findLast(({ name }) => settable.some((one) => one['name'] === name));
  if (!column) return false;
  const name = quoted(column.name);
  await primary.unsafe(`update ${await onlyOf(served, table)} set ${name} = ${name}`);
  return true;
}

/** The last row that no other names, so that PostgreSQL lets it go. */
export async function freeRow(
  { primary }: Pick<ServedTables, 'primary'>,
  table: Declaration,
  rows: readonly Row[],
): Promise<Row | undefined> {
  const where = table.key
    .map(({ name, form }, part) => `${quoted(name)} = $${part + 1}::text::${form.sql}`)
    .join(' and ');
  const isFree = (row: Row) =>
    primary
      .begin(async (tx) => {
        await tx.unsafe(`delete from ${identifier(table.name)} where ${where}`, keyIn(table, row.id));
        throw STAYS;
      })
      .catch((error: unknown) => {
        if (error === STAYS) return true;
        if ((error as { code?: string }).code === '23503') return false;
        throw error;
      });
  for (const row of rows.toReversed()) if (await isFree(row)) return row;
  return undefined;
}

const STAYS = new Error('a row that is only tried');

/** The rows under each row are those that name it, on the first page and after it. */
export async function expectRelated({ asks, tables }: ServedTables, table: Declaration): Promise<void> {
  for (const { as, many, to } of table.relations) {
    const parent = tables.find(({ type }) => type === to());
    if (many === undefined || !parent) continue;
    const children = `{ ${table.many}(first: 100) { nodes { id ${as} { id } } } }`;
    const { nodes } = (await asks.ask(children))[table.many] as { nodes: Record<string, Row | null>[] };
    const page = `${many}(first: 1) { totalCount nodes { id } pageInfo { endCursor } }`;
    const parents = (await asks.ask(`{ ${parent.many}(first: 100) { nodes { id ${page} } } }`))[parent.many].nodes;
    for (const { id, [many]: first } of parents) {
      const named = nodes.flatMap((child) => (child[as]?.id === id ? [child['id']] : []));
      const query = `query ($id: ID!, $after: String) { ${parent.one}(id: $id) { ${many}(first: 100, after: $after) { nodes { id } } } }`;
      const more = (await asks.ask(query, { id, after: first.pageInfo.endCursor }))[parent.one][many].nodes;
      const under = first.nodes.length === 0 ? [] : [...first.nodes, ...more].map((child) => child.id);
      expect([table.name, as, id, first.totalCount, under]).toEqual([table.name, as, id, named.length, named]);
    }
  }
}

/** A row given its own values stays as it is; one that is deleted can be made again. */
export async function expectWritten(served: ServedTables, table: Declaration, rows: Row[]): Promise<void> {
  const { one, type } = table;
  const { asks } = served;
  const fields = fieldsOf(table);
  for (const row of isKeyOnly(table) ? [] : rows) {
    const update = `mutation ($id: ID!, $input: Update${type.name}Input!) { update${type.name}(id: $id, input: $input) { ${one} ${fields} } }`;
    const updated = await asks.ask(update, { id: row.id, input: inputOf(table, row, false) });
    expect([table.name, updated[`update${type.name}`][one]]).toEqual([table.name, row]);
  }
  const last = await freeRow(served, table, rows);
  if (!last || table.own.has('create')) return;
  await asks.ask(`mutation ($id: ID!) { delete${type.name}(id: $id) { bookmark } }`, { id: last.id });
  const isAllMade = table.columns.every(({ kind }) => kind === 'generated');
  const [parameter, argument] = isAllMade ? ['', ''] : [`($input: Create${type.name}Input!)`, '(input: $input)'];
  const create = `mutation ${parameter} { create${type.name}${argument} { ${one} ${fields} } }`;
  const input = inputOf(table, last, true);
  const created = (await asks.ask(create, { input }))[`create${type.name}`][one];
  const shown = table.columns.flatMap(({ field, reference }) => (field in input ? [reference?.as ?? field] : []));
  const given = (row: Row) => Object.fromEntries(shown.map((field) => [field, row[field]]));
  expect([table.name, given(created)]).toEqual([table.name, given(last)]);
}

/** Nothing of it can be changed. */
export const isKeyOnly = (table: Declaration) =>
  table.columns.every(({ isKey, kind }) => isKey || kind === 'generated');

/** What `readback verify` says of tables that are not the same on both sides, by a few rows at a time. */
export const differencesOf = ({ config }: TestDatabases) =>
  withServers(config, testConfig(), 'test', async (servers) => {
    const { replicas } = await verify(servers, [], { chunkRows: 2, most: 100, timeoutMs: 30_000 }, () => {});
    return replicas.flatMap(({ tables }) => tables.filter(({ state }) => state !== 'same'));
  });
