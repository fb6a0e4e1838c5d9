import type postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { examine } from './support/doctor.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { startServer } from './support/server.ts';
import { sqlFolderWith } from './support/sql-folder.ts';

vi.setConfig({ testTimeout: 120_000 });

const THINGS = `
  create type mood as enum ('happy', 'sad');
  create table things (id int primary key, mood mood, moods mood[], size int, label varchar(5) not null, was text, given text not null);`;
const FILES = {
  'primary/0100.do.things.sql': `${THINGS}
    create table former (id int primary key, note text);
    create table dropped (id int primary key);
    grant select on things, former, dropped to readback_reader;
    alter publication readback add table things, former, dropped;`,
  'replica/0100.do.things.sql': `${THINGS}
    create table former (id int primary key, note text);
    create table dropped (id int primary key);
    select readback.watch('things', 'id'), readback.watch('former', 'id'), readback.watch('dropped', 'id');`,
};

const WITHIN = { timeout: 30_000, interval: 100 };

let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
let folder: string;
beforeEach(async () => {
  databases = await freshDatabases();
  primary = databases.primary;
  replica = databases.replicas[0]!;
  folder = sqlFolderWith(FILES);
  await migrate();
  await primary`insert into things values (1, 'sad', '{happy}', 1, 'a', 'w', 'g')`;
  await primary`insert into former values (1, 'n')`;
});
afterEach(() => databases.drop());

async function migrate(): Promise<string[]> {
  const said: string[] = [];
  await setUp(databases.config, testConfig(), (line) => said.push(line), folder);
  return said;
}

/** Everything that the table has in these columns, as text. */
const rowsOf = async (sql: postgres.Sql, table: string, columns = '*') =>
  (await sql.unsafe(`select ${columns} from ${table} t order by id`)).map((row) => JSON.stringify(row));

const expectSame = async (table: string, columns?: string) =>
  expect.poll(() => rowsOf(replica, table, columns), WITHIN).toEqual(await rowsOf(primary, table, columns));

/** What the application does, a row that the replica cannot take before it follows, and what is said of it. */
const FOLLOWED = [
  {
    title: 'a new column',
    ddl: `alter table things add column colour text default 'red'`,
    row: `insert into things values (2, 'sad', '{}', 2, 'b', 'w', 'g', 'blue')`,
    found: ['things.colour is new on the primary: run readback migrate'],
    said: ['replica-1: public.things.colour is new, as on the primary: clients have it once it is declared.'],
  },
  {
    title: 'a new column of a new enum',
    ddl: `create type hue as enum ('red', '$$; drop table things; --', 'it''s'); alter table things add column hue hue`,
    row: `insert into things values (2, 'sad', '{}', 2, 'b', 'w', 'g', 'it''s')`,
    found: ['things.hue is new on the primary: run readback migrate'],
    said: ['replica-1: public.things.hue is new, as on the primary: clients have it once it is declared.'],
  },
  {
    title: 'new values of an enum',
    ddl: `alter type mood add value 'glad' before 'happy'; alter type mood add value 'so-so' after 'happy'`,
    row: `insert into things values (2, 'glad', '{so-so}', 2, 'b', 'w', 'g')`,
    found: [
      'things.mood has the value glad, so-so on the primary besides: run readback migrate',
      'things.moods has the value glad, so-so on the primary besides: run readback migrate',
    ],
    said: [
      'replica-1: public.things.mood has the values of the primary',
      'replica-1: public.things.moods has the values of the primary',
    ],
  },
  {
    title: 'wider types',
    ddl: `alter table things alter column size type bigint, alter column label type varchar(50)`,
    row: `insert into things values (2, 'sad', '{}', 9007199254740993, 'longer than five', 'w', 'g')`,
    found: [
      'things.size is bigint on the primary now, and was integer: run readback migrate',
      'things.label is character varying(50) on the primary now, and was character varying(5): run readback migrate',
    ],
    said: ['replica-1: public.things.size is bigint', 'replica-1: public.things.label is character varying(50)'],
  },
  {
    title: 'a column that may be null now, and one that is gone',
    ddl: `alter table things alter column label drop not null, drop column given`,
    row: `insert into things values (2, 'sad', '{}', 2, null, 'w')`,
    found: ['things.given is gone from the primary: run readback migrate'],
    said: ['replica-1: public.things.given may be null, as the primary sends it no more'],
    columns: 'id, mood, size, label, was',
  },
  {
    title: 'another name of a column',
    ddl: `alter table things rename column was to is_now`,
    row: `insert into things values (2, 'sad', '{}', 2, 'b', 'x', 'g')`,
    found: ['things.was is called is_now there now: run readback migrate'],
    said: ['replica-1: public.things.is_now was was'],
  },
  {
    title: 'another name of a table',
    ddl: `alter table former rename to latter`,
    row: `insert into latter values (2, 'm')`,
    found: ['former is called latter on the primary now: run readback migrate'],
    said: ['replica-1: public.former is called public.latter, as on the primary'],
    table: 'latter',
  },
] as { title: string; ddl: string; row: string; found: string[]; said: string[]; table?: string; columns?: string }[];

describe('readback migrate has the replicas follow', () => {
  test.each(FOLLOWED)('$title', async (one) => {
    const { ddl, row, found, said, table = 'things', columns } = one;
    await expectSame('things');
    await primary.unsafe(ddl);
    expect(await driftsFound()).toEqual(found);
    await primary.unsafe(row);
    expect(await migrate()).toEqual(said);
    await expectSame(table, columns);
    expect(await driftsFound()).toEqual([]);
    await primary.unsafe(`update ${table} set id = id + 10`);
    await expectSame(table, columns);
    expect(
      await replica`select distinct table_name::text as name from readback.change_log where after ->> 'id' = '12'`,
    ).toEqual([{ name: table }]);
  });
});

const driftsFound = async () =>
  (await examine(databases.config))
    .filter(({ check }) => check === 'tables-changed')
    .map(({ found, remedy }) => `${found}: ${remedy.replace('Run ', 'run ').replace(/\.$/, '')}`);

test('a column whose default differs from row to row is added, and its rows are named', async () => {
  await primary.unsafe('alter table things add column token uuid not null default gen_random_uuid()');
  expect(await migrate()).toEqual([
    'replica-1: public.things.token is new, as on the primary: clients have it once it is declared. Rows that were there before may differ in it: run readback verify before it is declared.',
  ]);
});

test('what no statement brings along is refused, and named', async () => {
  await primary.unsafe('alter table things alter column size type text');
  await expect(migrate()).rejects.toThrow('things.size is integer, which does not take every text: make it that type.');
});

test('the server finds what the application changed, and names it with the command that follows it', async () => {
  const lines: string[] = [];
  const server = await startServer({ LOG_LEVEL: 'warn' }, databases, { write: (line) => lines.push(line) });
  try {
    await primary.unsafe(`
      alter table users add column points int;
      alter table things add column colour text;
      alter type mood add value 'glad';
      alter table former rename to latter;
      alter table posts drop column published_at cascade;
      drop table dropped`);
    const health = async () => (await server.rest('GET', '/health')).body;
    await expect.poll(async () => (await health()).tables, { timeout: 60_000, interval: 500 }).toHaveLength(7);
    const { status, tables, message } = await health();
    expect(status).toBe('degraded');
    const told = [
      'dropped is gone from the primary: run readback add --undo dropped',
      'former is called latter on the primary now: run readback migrate',
      'posts.published_at is gone from the primary: run readback migrate',
      'things.mood has the value glad on the primary besides: run readback migrate',
      'things.moods has the value glad on the primary besides: run readback migrate',
      'things.colour is new on the primary: run readback migrate',
      'users.points is new on the primary: run readback migrate',
    ];
    expect(tables.map(({ found, command }: any) => `${found}: run ${command}`)).toEqual(told);
    for (const one of told) expect(message).toContain(one);
    const logged = lines.map((line) => JSON.parse(line) as { msg: string }).filter(({ msg }) => told.includes(msg));
    expect(logged).toHaveLength(told.length);
    // Nothing of it is in the way of a table whose columns are listed.
    await primary`insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-')`;
    await expect.poll(() => replica`select username from users`, WITHIN).toEqual([{ username: 'ada' }]);
    await migrate();
    await expect
      .poll(async () => (await health()).tables, { timeout: 60_000, interval: 500 })
      .toEqual([
        {
          table: 'posts',
          column: 'published_at',
          found: 'posts.published_at is declared, and not on the primary',
          command:
            'readback migrate or, if that changes nothing, correct Post under schema/tables, run npm run codegen and start the server again',
        },
      ]);
  } finally {
    await server.stop();
  }
});
