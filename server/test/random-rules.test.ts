import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { addUser, PASSWORD } from './support/people.ts';
import { projectCopy, run, serve, writeFiles, type CopyServer } from './support/project-copy.ts';
import { COLUMNS, drawRows, drawRules, FIELDS, sqlOf, type DrawnRule } from './support/random-rules.ts';
import { subscribeTo } from './support/subscribe.ts';

/** The same rules in each run, which npm run test:soak draws anew. RANDOM_RULES_SEED=1 draws others. */
const SEED = Number(process.env['RANDOM_RULES_SEED'] ?? 20_260_131);
const COUNT = 6;
const ROWS = 30;

interface Ruled {
  /** In SQL, and the lists of its rows, of all and under their group. */
  name: string;
  one: string;
  type: string;
  read: DrawnRule;
  write: DrawnRule;
}

interface Viewer {
  id: string;
  token: string;
}

let databases: TestDatabases;
let server: CopyServer;

test('a rule decides alike wherever rows are asked for, told or written', { timeout: 300_000 }, async () => {
  console.log(`RANDOM_RULES_SEED=${SEED}`);
  databases = await freshDatabases({ settle: false });
  onTestFinished(() => databases.drop());
  const rules = drawRules(SEED, 2 * COUNT);
  const tables = Array.from({ length: COUNT }, (_, at): Ruled => {
    return { name: `doors${at}`, one: `door${at}`, type: `Door${at}`, read: rules[at]!, write: rules[COUNT + at]! };
  });
  const root = await projectWith(tables);
  await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
  const users = [await addUser({ databases }), await addUser({ databases })];
  await fill(
    tables,
    users.map(({ id }) => id),
  );
  server = await serve(root, databases, 'protected', { REQUESTS_PER_SECOND_MAX: '0', COST_PER_SECOND_MAX: '0' });
  const shown: number[] = [];
  for (const { id, username } of users) {
    const signIn = `mutation { signIn(login: "${username}", password: "${PASSWORD}") { token } }`;
    const viewer = { id, token: (await server(signIn)).signIn.token as string };
    for (const table of tables) shown.push(await expectRuled(table, viewer));
  }
  expect(shown.filter((rows) => rows > 0 && rows < ROWS)).not.toEqual([]);
});

/** The project with a table for each pair of rules, one that all of their rows name, and one that everybody sees. */
async function projectWith(tables: readonly Ruled[]): Promise<string> {
  const root = await projectCopy();
  const list = readFileSync(join(root, 'schema/project.ts'), 'utf8');
  const types = ['Group', 'Mark', ...tables.map(({ type }) => type)];
  const names = ['groups', 'marks', ...tables.map(({ name }) => name)];
  const columns = FIELDS.map((field) => `${quoted(COLUMNS[field].name)} ${COLUMNS[field].sql}`).join(', ');
  const made = `create type "mood (2)" as enum ('sad', 'so-so');
create table groups (id bigint primary key);
create table marks (id bigint primary key);
${tables.map(({ name }) => `create table ${name} (id bigint primary key, group_id bigint not null, note text not null, ${columns});`).join('\n')}
grant select on ${names.join(', ')} to readback_reader;
`;
  writeFiles(root, {
    'schema/project.ts': list
      .replace('tables: [', `tables: [${types.join(', ')}, `)
      .replace('\n\n', `\nimport { ${types.join(', ')} } from './tables/doors.ts';\n\n`),
    'schema/tables/doors.ts': declared(tables),
    'sql/primary/0101.do.doors.sql': `${made}
grant select, insert, update, delete on ${names.join(', ')} to readback_writer;
alter publication readback add table ${names.join(', ')};`,
    'sql/replica/0101.do.doors.sql': `${made}${names.map((name) => `select readback.watch('${name}', 'id');`).join('\n')}`,
  });
  expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
  return root;
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

function declared(tables: readonly Ruled[]): string {
  const fields = FIELDS.map((field) => {
    const { name, sql, type } = COLUMNS[field];
    const options = JSON.stringify({ name, nullable: true, ...(type === 'Mood' && { sql }) });
    return `  @Column(() => ${type}, ${options}) ${field}!: unknown;`;
  }).join('\n');
  const classes = tables.map(
    ({ name, type, read, write }) => `
@Table('${name}', { rest: true, orderBy: ['id', 'level', 'state', 'dueAt'], filter: { by: { state: true, level: true, hasOwner: { isGiven: 'owner' } } },
  rights: ${JSON.stringify({ read, write })} as never })
export class ${type} {
  @Key(() => BigInt, { given: true }) id!: string;
  @BelongsTo(() => Group, { as: 'group', many: '${name}' }) groupId!: string;
  @Column(() => String) note!: string;
${fields}
}`,
  );
  return `import { registerEnumType, Int } from 'type-graphql';
import { BelongsTo, Column, Key, Table } from '../../server/declare/declaration.ts';
import { BigInt, DateTime, Uuid } from '../../server/declare/scalars.ts';

const Mood = { SAD: 'sad', SO_SO: 'so-so' };
registerEnumType(Mood, { name: 'Mood' });

@Table('groups', { rights: { read: {} } })
export class Group {
  @Key(() => BigInt, { given: true }) id!: string;
}

@Table('marks', { rights: { read: {} } })
export class Mark {
  @Key(() => BigInt, { given: true }) id!: string;
}
${classes.join('\n')}
`;
}

async function fill(tables: readonly Ruled[], owners: readonly string[]): Promise<void> {
  const { primary } = databases;
  await primary`insert into groups values (1), (2)`;
  for (const [at, { name }] of tables.entries()) {
    const rows = drawRows(SEED + at, ROWS, owners).map((row, id) => ({
      id: id + 1,
      group_id: (id % 2) + 1,
      note: '',
      ...row,
    }));
    await primary`insert into ${primary(name)} select * from jsonb_populate_recordset(null::${primary(name)}, ${primary.json(rows)})`;
  }
}

/** Ids in the order given, of rows for which the condition holds. */
async function idsWhere(name: string, condition: string, order = 'id'): Promise<string[]> {
  const rows = await databases.primary.unsafe(
    `select id::text as key from ${name} where ${condition} order by ${order}`,
  );
  return rows.map(({ key }) => key as string);
}

const idsOf = (nodes: { id: string }[]) => nodes.map(({ id }) => id);

/** How many rows the viewer sees. */
async function expectRuled(table: Ruled, viewer: Viewer): Promise<number> {
  const { name, read } = table;
  const visible = await idsWhere(name, sqlOf(read, viewer.id));
  const label = `${name} by ${JSON.stringify(read)} for ${viewer.id}`;
  for (const [way, look] of Object.entries(WAYS))
    expect([label, way, await look(table, viewer)]).toEqual([label, way, visible]);
  await expectPaged(table, viewer, label);
  await expectTold(table, viewer, label);
  await expectWritten(table, viewer);
  await expectCreated(table, viewer);
  return visible.length;
}

const ids = Array.from({ length: ROWS }, (_, at) => String(at + 1));
const byNumber = (found: string[]) => found.toSorted((a, b) => Number(a) - Number(b));

/** Each says which rows there are. */
const WAYS: Record<string, (table: Ruled, viewer: Viewer) => Promise<string[]>> = {
  'by id': async ({ one }, { token }) => {
    const data = await server(`{ ${ids.map((id) => `r${id}: ${one}(id: "${id}") { id }`).join(' ')} }`, token);
    return idsOf(Object.values(data).filter((row) => row !== null) as { id: string }[]);
  },
  'in a list': async ({ name }, { token }) => {
    const data = await server(
      `{ ${name}(first: 100, orderBy: { field: ID, direction: ASC }) { totalCount nodes { id } edges { node { id } } } }`,
      token,
    );
    const { totalCount, nodes, edges } = data[name];
    expect([totalCount, edges.length]).toEqual([nodes.length, nodes.length]);
    return idsOf(nodes);
  },
  'under a parent': async ({ name }, { token }) => {
    const data = await server(`{ groups { nodes { ${name}(first: 100) { totalCount nodes { id } } } } }`, token);
    const under = data.groups.nodes.map((group: any) => group[name]);
    for (const { totalCount, nodes } of under) expect(totalCount).toBe(nodes.length);
    return byNumber(under.flatMap(({ nodes }: any) => idsOf(nodes)));
  },
  'by filters': async ({ name }, { token }) => {
    const filters = ['hasOwner: true', 'hasOwner: false'];
    const data = await server(
      `{ ${filters.map((filter, at) => `f${at}: ${name}(first: 100, filter: { ${filter} }) { totalCount nodes { id } }`).join(' ')} }`,
      token,
    );
    const found = Object.values(data) as { totalCount: number; nodes: { id: string }[] }[];
    for (const { totalCount, nodes } of found) expect(totalCount).toBe(nodes.length);
    return byNumber(found.flatMap(({ nodes }) => idsOf(nodes)));
  },
  'by REST': async ({ name }, { token }) => {
    const get = async (path: string) =>
      (
        await fetch(new URL(path, server.url), {
          headers: { authorization: `Bearer ${token}`, 'readback-consistency': 'strong' },
        })
      ).json() as Promise<any>;
    const { data } = await get(`/api/${name}?limit=100`);
    const one = await Promise.all(ids.map(async (id) => (await get(`/api/${name}/${id}`)).success as boolean));
    expect(byNumber(idsOf(data))).toEqual(ids.filter((_, at) => one[at]));
    return byNumber(idsOf(data));
  },
  'in a snapshot': async ({ name }, { token }) => {
    const events = subscribeTo<any>(
      server.websocket(token),
      `subscription { changes(tables: ["${name}"], snapshot: true) { __typename ... on SnapshotRow { key } } }`,
    );
    const keys: string[] = [];
    for (;;) {
      const { changes } = await events.next();
      if (changes.__typename === 'CaughtUp') break;
      keys.push(changes.key);
    }
    await events.end();
    return byNumber(keys);
  },
};

const ORDERS = { ID: 'id', LEVEL: 'level', STATE: 'state', DUE_AT: 'due_at' };

/** In every order, from both ends, also where that is of a column that may be null. */
async function expectPaged({ name, read }: Ruled, { id, token }: Viewer, label: string): Promise<void> {
  for (const [field, column] of Object.entries(ORDERS))
    for (const direction of ['ASC', 'DESC']) {
      const expected = await idsWhere(name, sqlOf(read, id), `${column} ${direction}, id ${direction}`);
      const pages = async (size: string, end: string, from: string) => {
        const found: string[] = [];
        for (let cursor = 'null'; ;) {
          const data = await server(
            `{ ${name}(${size}: 7, ${from}: ${cursor}, orderBy: { field: ${field}, direction: ${direction} }) { nodes { id } pageInfo { ${end} } } }`,
            token,
          );
          const { nodes, pageInfo } = data[name];
          if (nodes.length === 0) return found;
          if (size === 'first') found.push(...idsOf(nodes));
          else found.unshift(...idsOf(nodes));
          cursor = JSON.stringify(pageInfo[end]);
        }
      };
      const found = [await pages('first', 'endCursor', 'after'), await pages('last', 'startCursor', 'before')];
      expect([label, field, direction, ...found]).toEqual([label, field, direction, expected, expected]);
    }
}

/** Each change of a row is told as what it is to the viewer, who sees it before, after, both or neither. */
async function expectTold({ name, one, type, read }: Ruled, { id, token }: Viewer, label: string): Promise<void> {
  const { primary } = databases;
  const events = subscribeTo<any>(
    server.websocket(token),
    `subscription { changes(tables: ["${name}", "marks"]) { __typename ... on ${type}Change { operation key before { id } ${one} { id } } } }`,
  );
  expect((await events.next()).changes.__typename).toBe('CaughtUp');
  const seen = async () => new Set(await idsWhere(name, sqlOf(read, id)));
  const before = await seen();
  // Each row gets what the row after it has had.
  const columns = FIELDS.map((field) => quoted(COLUMNS[field].name));
  await primary.unsafe(
    `update ${name} d set (note, ${columns.join(', ')}) = (select d.note || 'x', ${columns.map((one) => `o.${one}`).join(', ')} from ${name} o where o.id = d.id % ${ROWS} + 1)`,
  );
  const after = await seen();
  await primary`insert into marks select count(*) from marks`;
  const told = new Map<string, string>();
  for (;;) {
    const { changes } = await events.next();
    if (changes.__typename === 'MarkChange') break;
    if (changes.__typename === 'CaughtUp') continue;
    told.set(changes.key, `${changes.operation} ${changes.before !== null} ${changes[one] !== null}`);
  }
  await events.end();
  const expected = ids.flatMap((key): [string, string][] => {
    const [was, is] = [before.has(key), after.has(key)];
    if (!was && !is) return [];
    return [[key, `${was ? (is ? 'UPDATE' : 'DELETE') : 'INSERT'} ${was} ${is}`]];
  });
  expect([label, Object.fromEntries(told)]).toEqual([label, Object.fromEntries(expected)]);
}

/** The ids of rows for which the condition holds once the statement has run, which is only tried. */
async function idsAfter(statement: string, name: string, condition: string): Promise<string[]> {
  let found: string[] = [];
  await databases.primary
    .begin(async (sql) => {
      await sql.unsafe(statement);
      found = (await sql.unsafe(`select id::text from ${name} where ${condition}`)).map(({ id }) => id as string);
      throw TRIED;
    })
    .catch((error: unknown) => {
      if (error !== TRIED) throw error;
    });
  return byNumber(found);
}

const TRIED = new Error('what is only tried');
const PATCHES = {
  'note: "y"': "note = 'y'",
  'level: 1': 'level = 1',
  'state: null': 'state = null',
  'isOpen: true': '"isOpen" = true',
};

/** Whether the row of the key was written; it is answered then. */
async function isWritten(mutation: string, { token }: Viewer, key: string): Promise<boolean> {
  const answer = await server(mutation, token);
  if (Array.isArray(answer)) expect(['FORBIDDEN', 'NOT_FOUND']).toContain(answer[0].code);
  else expect(Object.values<any>(Object.values<any>(answer)[0])[0].id).toBe(key);
  return !Array.isArray(answer);
}

/** A row is written where it can be seen, and where the rule of writing is met by it and by what it becomes. */
async function expectWritten({ name, one, type, read, write }: Ruled, viewer: Viewer): Promise<void> {
  const [mayRead, mayWrite] = [sqlOf(read, viewer.id), sqlOf(write, viewer.id)];
  for (const [input, set] of Object.entries(PATCHES)) {
    const from = await idsWhere(name, `${mayRead} and ${mayWrite}`);
    const to = await idsAfter(`update ${name} set ${set}`, name, mayWrite);
    const written: string[] = [];
    for (const key of ids) {
      const mutation = `mutation { update${type}(id: "${key}", input: { ${input} }) { ${one} { id } } }`;
      if (await isWritten(mutation, viewer, key)) written.push(key);
    }
    const label = [name, JSON.stringify({ read, write }), input, viewer.id];
    expect([label, written]).toEqual([label, to.filter((key) => from.includes(key))]);
  }
}

const literal = (value: unknown) =>
  typeof value === 'boolean' || typeof value === 'number' ? value : JSON.stringify(value);

/** A row is made where the rule of writing is met by it; who makes it is answered with it, also where it is not theirs to read. */
async function expectCreated({ name, one, type, write }: Ruled, viewer: Viewer): Promise<void> {
  for (const [at, row] of drawRows(SEED, 8, [viewer.id]).entries()) {
    const key = String(1000 + at);
    const given = FIELDS.flatMap((field) =>
      row[COLUMNS[field].name] === null ? [] : [[field, row[COLUMNS[field].name]] as const],
    );
    const values = given.map(
      ([field, value]) => `${field}: ${field === 'mood' ? MOODS[value as keyof typeof MOODS] : literal(value)}`,
    );
    const input = [`id: "${key}"`, 'groupId: "1"', 'note: ""', ...values].join(', ');
    const insert = `insert into ${name} select * from jsonb_populate_recordset(null::${name}, '${JSON.stringify([{ id: key, group_id: 1, note: '', ...row }]).replaceAll("'", "''")}')`;
    const isMet = (await idsAfter(insert, name, `${sqlOf(write, viewer.id)} and id = ${key}`)).length === 1;
    const isMade = await isWritten(`mutation { create${type}(input: { ${input} }) { ${one} { id } } }`, viewer, key);
    expect([name, JSON.stringify(write), input, isMade]).toEqual([name, JSON.stringify(write), input, isMet]);
    await databases.primary.unsafe(`delete from ${name} where id = ${key}`);
  }
}

const MOODS = { sad: 'SAD', 'so-so': 'SO_SO' };
