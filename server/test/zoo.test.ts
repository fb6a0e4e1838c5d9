import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'graphql-ws';
import { expect, onTestFinished, test } from 'vitest';
import type { Declaration } from '../declare/declaration.ts';
import { restPath } from '../http/rest.ts';
import { parseExactly } from '../lib/exact-json.ts';
import { projectRoot } from '../lib/root.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { expectSameByRest } from './support/rest-compared.ts';
import { expectExact, type Row, type TableClient } from './support/rows-compared.ts';
import {
  differencesOf,
  expectRelated,
  expectSameEverywhere,
  expectWritten,
  onlyOf,
  serveAllTables,
} from './support/served-tables.ts';

const ZOO = readFileSync(join(projectRoot, 'server/test/fixtures/zoo.sql'), 'utf8');

test(
  'values of every type, under every kind of key and name, are the same wherever they are read',
  { timeout: 300_000 },
  async () => {
    const databases = await freshDatabases();
    onTestFinished(() => databases.drop());
    const { primary } = databases;
    await primary.unsafe(ZOO);
    const served = await serveAllTables(databases);
    const { said, tables, asks: zoo, client, url } = served;
    expect(said.filter((line) => line.startsWith('Not taken'))).toEqual([
      'Not taken: deferred: its primary key is deferrable: PostgreSQL would refuse updates and deletes once it is published.',
      'Not taken: fleeting: it is unlogged, and PostgreSQL sends none of it: run alter table … set logged.',
      'Not taken: keyless: it has no primary key, by which a row could be known: add one.',
      'Not taken: silent: its replica identity is nothing: PostgreSQL would refuse updates and deletes once it is published. Run alter table … replica identity default.',
    ]);
    expect(said.filter((line) => line.startsWith('made.'))).toEqual([
      'made.hint stays on the primary, and is not served: generated, which PostgreSQL does not send to every version.',
      'made.api_token stays on the primary, and is not served: its name tells of a secret. Send it by --send api_token.',
    ]);
    expect(tables).toHaveLength(54);
    const rows = new Map<string, Row[]>();
    for (const table of tables) {
      rows.set(table.name, await zoo.rows(table));
      expect([table.name, rows.get(table.name)!.length]).not.toEqual([table.name, 0]);
      await expectExact(primary, table, rows.get(table.name)!, await onlyOf(served, table));
    }
    for (const table of tables) await expectSameEverywhere(served, table, rows.get(table.name)!);
    await expectRelations(zoo, databases);
    await expectRefused(zoo);
    for (const table of tables) await expectRelated(served, table);
    for (const table of tables) await expectWritten(served, table, rows.get(table.name)!);
    for (const table of tables) await expectSameByRest(served, table, await zoo.rows(table));
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
    expect(await differencesOf(databases)).toEqual([]);
    // JSON has a null of its own, which a column that takes none may hold.
    await primary`update odd_types set doc = 'null'`;
    expect((await zoo.ask('{ oddTypes { nodes { doc } } }')).oddTypes.nodes).toEqual([{ doc: null }, { doc: null }]);
    await expectExactJson(
      primary,
      url,
      client,
      tables.find(({ name }) => name === 'values_of')!,
    );
    await expectOddJson(zoo, primary);
  },
);

/**
 * A JSON value keeps its number tokens however it is sent, and members that objects have by themselves; and a number of any
 * other length its digits.
 */
async function expectExactJson(
  primary: TestDatabases['primary'],
  url: string,
  client: Client,
  table: Declaration,
): Promise<void> {
  const { one, type, name } = table;
  const text =
    '{"n":9007199254740993,"e":1e400,"d":0.1000,"z":-0,"list":[-0.0,{"deep":12345678901234567890.50}],"__proto__":{"own":1},"constructor":{"prototype":{"own":1}}}';
  const odd = '__proto__: { own: 1 }, constructor: { prototype: { own: 1 } }';
  const loose = parseExactly(text);
  const long = parseExactly('9007199254740993');
  const ask = (declared: string, input: string) =>
    `mutation ($id: ID! ${declared}) { update${type.name}(id: $id, input: ${input}) { ${one} { loose } } }`;
  const byInput = {
    query: ask(`$input: Update${type.name}Input!`, '$input'),
    variables: { id: '1', input: { loose, long, small: 3 } },
  };
  const send = async (path: string, method: string, body: object, accept: string, mark = '') => {
    const headers = { 'content-type': 'application/json', accept };
    const response = await fetch(new URL(path, url), { method, headers, body: mark + JSON.stringify(body) });
    return parseExactly(await response.text()) as any;
  };
  const post = async (body: object, accept = '*/*') => (await send('/graphql', 'POST', body, accept)).data;
  const ways: Record<string, () => Promise<any>> = {
    'a variable of an input': () => post(byInput),
    'a variable of its own': () =>
      post({ query: ask('$json: JSON', '{ loose: $json }'), variables: { id: '1', json: loose } }),
    'a variable inside a literal': () =>
      post({
        query: ask(
          '$list: JSON',
          `{ loose: { n: 9007199254740993, e: 1e400, d: 0.1000, z: -0, list: $list, ${odd} } }`,
        ),
        variables: { id: '1', list: (loose as any).list },
      }),
    'a literal': () =>
      post({
        query: ask(
          '',
          `{ loose: { n: 9007199254740993, e: 1e400, d: 0.1000, z: -0, list: [-0.0, { deep: 12345678901234567890.50 }], ${odd} } }`,
        ),
        variables: { id: '1' },
      }),
    'an input after a byte order mark': async () => (await send('/graphql', 'POST', byInput, '*/*', '\uFEFF')).data,
    'what Apollo reads': () => post(byInput, 'application/json;q=0.5'),
    'a websocket': async () => (await client.iterate<any>(byInput).next()).value!.data,
    REST: async () => ({ rest: { [one]: (await send(`${restPath(table)}/1`, 'PATCH', { loose, long }, '*/*')).data } }),
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

/** json takes what jsonb does not, which whoever sends it is told. */
async function expectOddJson(zoo: TableClient, primary: TestDatabases['primary']): Promise<void> {
  const query = `mutation ($input: UpdateLooseValueInput!) { updateLooseValue(id: "1", input: $input) { looseValue { doc docs } } }`;
  for (const odd of ['"\\u0000"', '{"\\u0000":1}', '"\\ud800"', '["\\udc00\\ud800"]', '1e999999', '-1e-999999']) {
    const doc = parseExactly(odd);
    const taken = (await zoo.ask(query, { input: { doc, docs: [doc, null] } })).updateLooseValue.looseValue;
    expect(JSON.stringify(taken)).toBe(`{"doc":${odd},"docs":[${odd},null]}`);
    const [row] = await primary`select doc::text, to_json(docs)::text as docs from loose_values where id = 1`;
    expect(row).toEqual({ doc: odd, docs: `[${odd},null]` });
    await expect(zoo.ask(query, { input: { tight: doc } })).rejects.toThrow('"code":"BAD_USER_INPUT"');
    const { status, body } = await zoo.rest('PATCH', '/api/loose-values/1', { tight: doc });
    expect([odd, status, body.error]).toEqual([odd, 400, 'BAD_USER_INPUT']);
  }
}

/** What no type takes is told by its field, and by the type where that is PostgreSQL's own. */
async function expectRefused(zoo: TableClient): Promise<void> {
  for (const [query, type] of [
    ['{ byLocal(id: "no time") { id } }', 'timestamp without time zone, got: no time'],
    ['mutation { deleteByLocal(id: "no time") { bookmark } }', 'timestamp without time zone, got: no time'],
    ['{ byPoint(id: "no point") { id } }', 'This id is not among the values'],
  ] as const)
    await expect(zoo.ask(query)).rejects.toThrow(
      expect.objectContaining({ message: expect.stringMatching(`(?=.*"field":"id")(?=.*${type})`) }),
    );
}

/** What foreign keys name, from both sides: of several columns, of a unique one, of the table itself, two to one table. */
async function expectRelations(zoo: TableClient, databases: TestDatabases): Promise<void> {
  const sent = databases.statements('replica-1', /reads/);
  const place = '{ id name }';
  const trips = await zoo.ask(
    `{ trips(first: 9) { nodes { note from ${place} to ${place} via place ${place} partOfRow { note } trips(first: 9) { totalCount nodes { note } } } } }`,
  );
  expect(sent().length).toBeLessThanOrEqual(6);
  const [berlin, bregenz] = [
    { id: '["B","de"]', name: 'Berlin' },
    { id: '["B","at"]', name: 'Bregenz' },
  ];
  const parts = { totalCount: 2, nodes: [{ note: 'y' }, { note: 'z' }] };
  const none = { totalCount: 0, nodes: [] };
  expect(trips.trips.nodes).toEqual([
    { note: 'x', from: berlin, to: bregenz, via: 'Berlin', place: berlin, partOfRow: null, trips: parts },
    { note: 'y', from: berlin, to: null, via: null, place: null, partOfRow: { note: 'x' }, trips: none },
    { note: 'z', from: bregenz, to: berlin, via: 'Bregenz', place: bregenz, partOfRow: { note: 'x' }, trips: none },
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
