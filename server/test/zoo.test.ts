import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, type Client } from 'graphql-ws';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { addCommand } from '../cli/add.ts';
import type { Declaration } from '../declare/declaration.ts';
import { quoted } from '../database/connect.ts';
import { identifier } from '../database/sql/columns.ts';
import { parseExactly } from '../lib/exact-json.ts';
import { projectRoot } from '../lib/root.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { projectCopy, run, serve } from './support/project-copy.ts';
import { TableClient, digits, expectExact, fieldsOf, inputOf, type Row } from './support/rows-compared.ts';

const ZOO = readFileSync(join(projectRoot, 'server/test/fixtures/zoo.sql'), 'utf8');

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
    withRest(join(root, 'schema/tables/values-of.ts'));
    expect(said.filter((line) => line.startsWith('made.'))).toEqual([
      'made.hint stays on the primary, and is not served: generated, which PostgreSQL does not send to every version.',
      'made.api_token stays on the primary, and is not served: its name tells of a secret. Send it by --send api_token.',
    ]);
    expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
    expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
    await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
    const { url } = await serve(root, databases);
    await import(join(root, 'dist/schema/project.js'));
    const { allTables } = await import(join(root, 'dist/server/declare/declaration.js'));
    const tables = (allTables() as Declaration[]).filter(({ name }) => name !== 'users' && name !== 'posts');
    expect(tables).toHaveLength(38);
    const zoo = new TableClient(url);
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
      await expectExact(primary, table, rows.get(table.name)!, onlyOf(table));
    }
    for (const table of tables) await expectSameEverywhere(zoo, client, primary, table, rows.get(table.name)!);
    await expectRelations(zoo, databases);
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
    await expectExactJson(
      primary,
      url,
      client,
      tables.find(({ name }) => name === 'values_of')!,
    );
  },
);

const withRest = (file: string) => {
  const code = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    code.replace(/@Table\('values_of'(?:, \{)?/, (start) => `${start.replace(/, \{$/, '')}, { rest: true,`),
  );
};

/** A JSON value keeps its number tokens however it is sent, and a number of any other length its digits. */
async function expectExactJson(
  primary: TestDatabases['primary'],
  url: string,
  client: Client,
  { one, type, name }: Declaration,
): Promise<void> {
  const text = '{"n":9007199254740993,"e":1e400,"d":0.1000,"z":-0,"list":[-0.0,{"deep":12345678901234567890.50}]}';
  const loose = parseExactly(text);
  const long = parseExactly('9007199254740993');
  const ask = (declared: string, input: string) =>
    `mutation ($id: ID! ${declared}) { update${type.name}(id: $id, input: ${input}) { ${one} { loose } } }`;
  const byInput = {
    query: ask(`$input: Update${type.name}Input!`, '$input'),
    variables: { id: '1', input: { loose, long, small: 3 } },
  };
  const send = async (path: string, method: string, body: object, accept: string) => {
    const headers = { 'content-type': 'application/json', accept };
    const response = await fetch(new URL(path, url), { method, headers, body: JSON.stringify(body) });
    return parseExactly(await response.text()) as any;
  };
  const post = async (body: object, accept = '*/*') => (await send('/graphql', 'POST', body, accept)).data;
  const ways: Record<string, () => Promise<any>> = {
    'a variable of an input': () => post(byInput),
    'a variable of its own': () =>
      post({ query: ask('$json: JSON', '{ loose: $json }'), variables: { id: '1', json: loose } }),
    'a variable inside a literal': () =>
      post({
        query: ask('$list: JSON', `{ loose: { n: 9007199254740993, e: 1e400, d: 0.1000, z: -0, list: $list } }`),
        variables: { id: '1', list: (loose as any).list },
      }),
    'a literal': () =>
      post({
        query: ask(
          '',
          '{ loose: { n: 9007199254740993, e: 1e400, d: 0.1000, z: -0, list: [-0.0, { deep: 12345678901234567890.50 }] } }',
        ),
        variables: { id: '1' },
      }),
    'what Apollo reads': () => post(byInput, 'application/json;q=0.5'),
    'a websocket': async () => (await client.iterate<any>(byInput).next()).value!.data,
    REST: async () => ({ rest: { [one]: (await send(`/api/values-of/1`, 'PATCH', { loose, long }, '*/*')).data } }),
  };
  for (const [way, write] of Object.entries(ways)) {
    await primary.unsafe(`update ${name} set loose = null, long = 0 where id = 1`);
    const [answer] = Object.values((await write()) ?? {}) as any[];
    expect([way, JSON.stringify(answer?.[one].loose)]).toEqual([way, text]);
    const [row] = await primary.unsafe(`select loose::text, long::text from ${name} where id = 1`);
    expect([way, row!['loose'], ['0', '9007199254740993'].includes(row!['long'])]).toEqual([way, text, true]);
    if (/input|Apollo|websocket|REST/.test(way)) expect([way, row!['long']]).toEqual([way, '9007199254740993']);
  }
}

/** What foreign keys name, from both sides: of several columns, of a unique one, of the table itself, two to one table. */
async function expectRelations(zoo: TableClient, databases: TestDatabases): Promise<void> {
  const sent = databases.statements('replica-1', /reads/);
  const place = '{ id name }';
  const trips = await zoo.ask(
    `{ trips(first: 9) { nodes { note from ${place} to ${place} via place ${place} trip { note } trips(first: 9) { totalCount nodes { note } } } } }`,
  );
  expect(sent().length).toBeLessThanOrEqual(6);
  const [berlin, bregenz] = [
    { id: '["B","de"]', name: 'Berlin' },
    { id: '["B","at"]', name: 'Bregenz' },
  ];
  const parts = { totalCount: 2, nodes: [{ note: 'y' }, { note: 'z' }] };
  const none = { totalCount: 0, nodes: [] };
  expect(trips.trips.nodes).toEqual([
    { note: 'x', from: berlin, to: bregenz, via: 'Berlin', place: berlin, trip: null, trips: parts },
    { note: 'y', from: berlin, to: null, via: null, place: null, trip: { note: 'x' }, trips: none },
    { note: 'z', from: bregenz, to: berlin, via: 'Bregenz', place: bregenz, trip: { note: 'x' }, trips: none },
  ]);
  const notes = '(first: 9) { totalCount nodes { note } }';
  const before = databases.statements('replica-1', /reads/);
  const { places } = await zoo.ask(
    `{ places(first: 9) { nodes { name tripsByFrom${notes} tripsByTo${notes} tripsByPlace${notes} } } }`,
  );
  expect(before().length).toBeLessThanOrEqual(7);
  const of = (...all: string[]) => ({ totalCount: all.length, nodes: all.map((note) => ({ note })) });
  expect(places.nodes).toEqual([
    { name: 'Bregenz', tripsByFrom: of('z'), tripsByTo: of('x'), tripsByPlace: of('z') },
    { name: 'Berlin', tripsByFrom: of('x', 'y'), tripsByTo: of('z'), tripsByPlace: of('x') },
    { name: 'Hamburg', tripsByFrom: of(), tripsByTo: of(), tripsByPlace: of() },
  ]);
  const page = `query ($after: String) { place(id: "[\\"B\\",\\"de\\"]") { tripsByFrom(first: 1, after: $after) { nodes { note } pageInfo { endCursor } } } }`;
  const { place: first } = await zoo.ask(page);
  const { place: second } = await zoo.ask(page, { after: first.tripsByFrom.pageInfo.endCursor });
  expect([first, second].map(({ tripsByFrom }) => tripsByFrom.nodes)).toEqual([[{ note: 'x' }], [{ note: 'y' }]]);
}

/** Without those that inherit from it; `parts` is partitioned. */
const onlyOf = ({ name }: Declaration) => `${name === 'parts' ? '' : 'only '}${identifier(name)}`;

async function expectSameEverywhere(
  zoo: TableClient,
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
  await primary.unsafe(`update ${onlyOf(table)} set ${quoted(name)} = ${quoted(name)}`);
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
async function expectWritten(zoo: TableClient, table: Declaration, rows: Row[]): Promise<void> {
  const { one, type } = table;
  const fields = fieldsOf(table);
  // Nothing of it can be changed.
  const isKeyOnly = table.columns.every(({ isKey, kind }) => isKey || kind === 'generated');
  for (const row of isKeyOnly ? [] : rows) {
    const update = `mutation ($id: ID!, $input: Update${type.name}Input!) { update${type.name}(id: $id, input: $input) { ${one} ${fields} } }`;
    const updated = await zoo.ask(update, { id: row.id, input: inputOf(table, row, false) });
    expect([table.name, updated[`update${type.name}`][one]]).toEqual([table.name, row]);
  }
  const last = rows.at(-1)!;
  if (table.name.startsWith('sales.')) return; // They refer to each other.
  await zoo.ask(`mutation ($id: ID!) { delete${type.name}(id: $id) { bookmark } }`, { id: last.id });
  const isAllMade = table.columns.every(({ kind }) => kind === 'generated');
  const [parameter, argument] = isAllMade ? ['', ''] : [`($input: Create${type.name}Input!)`, '(input: $input)'];
  const create = `mutation ${parameter} { create${type.name}${argument} { ${one} ${fields} } }`;
  const input = inputOf(table, last, true);
  const created = (await zoo.ask(create, { input }))[`create${type.name}`][one];
  const given = (row: Row) => Object.fromEntries(Object.keys(input).map((field) => [field, row[field]]));
  expect([table.name, given(created)]).toEqual([table.name, given(last)]);
}
