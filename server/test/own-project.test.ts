import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema, type GraphQLObjectType, type GraphQLSchema } from 'graphql';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { command, variablesOf } from './support/command.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { projectCopy, run, serve, writeFiles, type CopyServer } from './support/project-copy.ts';
import { subscribeTo } from './support/subscribe.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** A project with one table, a view of it, no accounts, and nothing of the example's. */
const VIEW = `create view openings as
  select left(title, 1) as letter, count(*)::int as notes, (max(array[created_at::text, id::text]))[2]::uuid as latest_id
  from notes group by 1;
grant select on openings to readback_reader;
`;
const FILES = {
  'schema/project.ts': `import 'reflect-metadata';
import type { Project } from '../server/graphql/schema/project.ts';
import { Note } from './tables/notes.ts';
import { Opening } from './tables/openings.ts';

export const project: Project = { tables: [Note, Opening] };
`,
  'schema/tables/notes.ts': `import { ID } from 'type-graphql';
import { Column, Generated, Key, Table } from '../../server/declare/declaration.ts';
import { DateTime } from '../../server/declare/scalars.ts';

@Table('notes', { orderBy: ['createdAt'], rights: { read: { isSecret: { eq: false } }, write: {} } })
export class Note {
  @Key(() => ID) id!: string;
  @Column(() => String, { length: [1, 80] }) title!: string;
  @Column(() => Boolean, { hasDefault: true }) isSecret!: boolean;
  @Generated(() => DateTime) createdAt!: string;
}
`,
  'schema/tables/openings.ts': `import { BelongsTo, Column, Key, Table } from '../../server/declare/declaration.ts';
import { Note } from './notes.ts';

@Table('openings', { view: true, rest: true, rights: { read: {} } })
export class Opening {
  id!: string;
  @Key(() => String) letter!: string;
  @Column(() => Number) notes!: number;
  @BelongsTo(() => Note, { as: 'latest', many: 'latestOf' }) latestId!: string;
}
`,
  'sql/primary/0002.do.openings.sql': VIEW,
  'sql/replica/0002.do.openings.sql': VIEW,
  'sql/primary/0001.do.notes.sql': `create table notes (
  id         uuid primary key default gen_random_uuid(),
  title      varchar(80) not null,
  is_secret  boolean not null default false,
  created_at timestamptz not null default now()
);
create index notes_created_at on notes (created_at, id);
grant select on notes to readback_writer, readback_reader;
grant insert, update, delete on notes to readback_writer;
alter publication readback add table notes;
`,
  'sql/replica/0001.do.notes.sql': `create table notes (
  id         uuid primary key,
  title      varchar(80) not null,
  is_secret  boolean not null,
  created_at timestamptz not null
);
create index notes_created_at on notes (created_at, id);
grant select on notes to readback_reader;
select readback.watch('notes', 'id');
`,
};

let databases: TestDatabases;
let root: string;
beforeEach(async () => {
  databases = await freshDatabases({ settle: false });
});
afterEach(() => databases.drop());

/** The example's tables and their SQL go; its documents and tests stay, and are in nobody's way. */
async function makeOwn(): Promise<void> {
  root = await projectCopy();
  for (const folder of ['schema/tables', 'sql/primary', 'sql/replica'])
    for (const name of readdirSync(join(root, folder))) rmSync(join(root, folder, name));
  writeFiles(root, FILES);
  expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
  expect(run(root, 'node', 'dist/readback/schema.js')).toBe('ok');
}

const fieldsOf = (schema: GraphQLSchema, root: string) =>
  Object.keys((schema.getType(root) as GraphQLObjectType).getFields()).toSorted();

/** A note that everybody sees is written, read and told of; one that is secret is not. */
async function tryOut(server: CopyServer, isOpen: boolean): Promise<void> {
  const events = subscribeTo<any>(
    server.websocket(),
    'subscription { changes { __typename ... on NoteChange { operation note { title } } } }',
  );
  expect((await events.next()).changes.__typename).toBe('CaughtUp');
  await databases.primary`insert into notes (title, is_secret) values ('kept', true)`;
  const { createNote: made } = await server(
    'mutation { createNote(input: { title: "told" }, confirm: REPLICATED) { note { id } confirmation { level } } }',
  );
  expect(made.confirmation).toEqual({ level: 'REPLICATED' });
  expect(await server(`{ note(id: "${made.note.id}") { title isSecret } }`)).toEqual({
    note: { title: 'told', isSecret: false },
  });
  expect(await server('{ opening(id: "t") { id letter notes latest { id latestOf { totalCount } } } }')).toEqual({
    opening: { id: 't', letter: 't', notes: 1, latest: { id: made.note.id, latestOf: { totalCount: 1 } } },
  });
  expect(await server('{ openings(first: 1) { totalCount nodes { letter } pageInfo { hasNextPage } } }')).toEqual({
    openings: { totalCount: 2, nodes: [{ letter: 'k' }], pageInfo: { hasNextPage: true } },
  });
  const listed = (await (await fetch(new URL('/api/openings', server.url))).json()) as { data: { letter: string }[] };
  expect(listed.data.map(({ letter }) => letter)).toEqual(['k', 't']);
  const told = isOpen ? ['kept', 'told'] : ['told'];
  expect(
    await server('{ notes(orderBy: { field: CREATED_AT, direction: ASC }) { totalCount nodes { title } } }'),
  ).toEqual({
    notes: { totalCount: told.length, nodes: told.map((title) => ({ title })) },
  });
  for (const title of told)
    expect((await events.next()).changes).toEqual({ __typename: 'NoteChange', operation: 'INSERT', note: { title } });
  await server(`mutation { deleteNote(id: "${made.note.id}") { bookmark } }`);
  expect((await events.next()).changes).toMatchObject({ operation: 'DELETE' });
  await databases.primary`delete from notes`;
}

test('a project of one table and no accounts is checked, migrated and served', async () => {
  await makeOwn();
  const schema = buildSchema(readFileSync(join(root, 'schema/schema.graphql'), 'utf8'));
  expect(Object.keys(schema.getTypeMap()).filter((name) => /User|Post|Session|SignOut|Password/.test(name))).toEqual(
    [],
  );
  expect(fieldsOf(schema, 'Query')).toEqual(['note', 'notes', 'opening', 'openings', 'replication', 'subscriptions']);
  expect(fieldsOf(schema, 'Mutation')).toEqual(['createNote', 'deleteNote', 'endSubscription', 'updateNote']);
  expect(fieldsOf(schema, 'Subscription')).toEqual(['arrivals', 'changes', 'noteChanged', 'replication']);
  expect(schema.getType('OpeningChange') ?? schema.getType('OpeningPayload')).toBeUndefined();
  const checks = ['types', 'dead code', 'schema and settings', 'schema/generated'];
  expect(run(root, 'node', 'infra/check.mjs', ...checks)).toBe('ok');

  await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
  const doctor = await command(['doctor'], variablesOf(databases.config), root, root);
  expect(doctor).toMatchObject({ code: 0, out: expect.stringContaining('No faults found.') });
  await tryOut(await serve(root, databases, 'open'), true);
  // Nobody can sign in: who asks is anonymous, and the rules decide.
  const server = await serve(root, databases, 'protected');
  await tryOut(server, false);
  expect(await server('{ notes { totalCount } }', 'token')).toMatchObject([{ code: 'UNAUTHENTICATED' }]);
  expect(await server('{ subscriptions { id } }')).toMatchObject([{ code: 'FORBIDDEN' }]);
  const ofView = subscribeTo(server.websocket(), 'subscription { changes(tables: ["openings"]) { __typename } }');
  expect(await ofView.failure()).toMatchObject([{ message: 'tables must be among notes, got: openings' }]);
  expect(run(root, 'node', 'dist/readback/main.js', 'admin', 'create', '--username', 'root')).toContain(
    'This project declares no accounts',
  );
  await databases.replicas[0]!`drop view openings`;
  const { out } = await command(['doctor'], variablesOf(databases.config), root, root);
  expect(out).toContain('openings is declared, and not on the replica');
});
