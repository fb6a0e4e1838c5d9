import type postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Sql } from '../database/connect.ts';
import { isViolation, told } from '../database/violations.ts';
import { statusOf } from '../operate/status.ts';
import { withServers } from '../setup/servers.ts';
import { setUp } from '../setup/setup.ts';
import { examine, fixAll } from './support/doctor.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { startServer } from './support/server.ts';
import { sqlFolderWith } from './support/sql-folder.ts';
import { subscribeTo, type Events } from './support/subscribe.ts';

vi.setConfig({ testTimeout: 120_000 });

const FILES = {
  'primary/0100.do.parts.sql': `
    create table parts (id int, day date, primary key (id, day)) partition by range (day);
    create table parts_1 partition of parts for values from ('2025-01-01') to ('2025-02-01');
    create table parts_2 partition of parts for values from ('2025-02-01') to ('2025-03-01');
    create table parts_3 partition of parts for values from ('2025-03-01') to ('2025-04-01') partition by range (day);
    create table parts_3a partition of parts_3 for values from ('2025-03-01') to ('2025-04-01');
    insert into parts values (1, '2025-01-01'), (2, '2025-02-01'), (3, '2025-03-01');
    grant select on parts to readback_writer, readback_reader;
    alter publication readback add table parts;`,
  'replica/0100.do.parts.sql': `
    create table parts (id int, day date, primary key (id, day));
    grant select on parts to readback_reader;
    select readback.watch('parts', 'id', 'day');`,
};

let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
beforeEach(async () => {
  databases = await freshDatabases();
  primary = databases.primary;
  replica = databases.replicas[0]!;
  await setUp(databases.config, testConfig(), () => {}, sqlFolderWith(FILES));
});
afterEach(() => databases.drop());

const idsOn = async (sql: postgres.Sql) => (await sql`select id from parts order by id`).map(({ id }) => id as number);

const expectSame = async () =>
  expect.poll(() => idsOn(replica), { timeout: 30_000, interval: 50 }).toEqual(await idsOn(primary));

const found = async () =>
  (await examine(databases.config))
    .filter(({ check }) => check === 'partition-changed')
    .map(({ server, found: what }) => `${server} ${what.split(',')[0]!}`);

const ALONE = [
  ['TRUNCATE', 'truncate parts_1', 'truncated'],
  ['DROP', 'drop table parts_1', 'dropped or detached'],
  ['DETACH', 'alter table parts detach partition parts_1', 'dropped or detached'],
] as const;

describe('what is done to one partition alone is found, and copied again by one command', () => {
  test.each(ALONE)('%s', async (_, statement, what) => {
    await expectSame();
    expect(await found()).toEqual([]);
    await primary.unsafe(statement);
    expect(await found()).toEqual([`replica-1 parts: its partition parts_1 was ${what}`]);
    expect([await idsOn(primary), await idsOn(replica)]).toEqual([
      [2, 3],
      [1, 2, 3],
    ]);
    await fixAll(databases.config);
    await expectSame();
    expect(await examine(databases.config)).toEqual([]);
    await primary`insert into parts values (4, '2025-02-02')`;
    await expectSame();
  });
});

test('ATTACH with rows is found, and copied again by one command', async () => {
  await primary.unsafe(`
    create table more (id int not null, day date not null);
    insert into more values (5, '2025-05-01')`);
  await primary`alter table parts attach partition more for values from ('2025-05-01') to ('2025-06-01')`;
  expect(await found()).toEqual(['replica-1 parts: its partition more was attached with rows']);
  await fixAll(databases.config);
  await expectSame();
  expect(await examine(databases.config)).toEqual([]);
});

test('what is replicated is no change of a partition alone', async () => {
  await expectSame();
  await primary.unsafe(`
    create table parts_4 partition of parts for values from ('2025-04-01') to ('2025-05-01');
    insert into parts values (4, '2025-04-01')`);
  await primary`create table more (id int not null, day date not null)`;
  await primary`alter table parts attach partition more for values from ('2025-05-01') to ('2025-06-01')`;
  await primary`insert into parts values (5, '2025-05-01')`;
  expect(await found()).toEqual([]);
  await expectSame();
  await primary`truncate parts`;
  await primary`insert into parts values (6, '2025-05-02')`;
  expect(await found()).toEqual([]);
  await expectSame();
  await primary`truncate more`;
  expect(await found()).toEqual(['replica-1 parts: its partition more was truncated']);
});

test('what a partition refuses is told of the table that it is of', async () => {
  await primary.unsafe(`
    create table days (id int, day date, primary key (id, day));
    insert into days select id, day from parts;
    alter table parts add constraint of_days foreign key (id, day) references days`);
  const refused = async (statement: string) => {
    const error: unknown = await primary.unsafe(statement).catch((cause: unknown) => cause);
    if (!isViolation(error)) throw error;
    const { code, message } = await told(error, primary as unknown as Sql, () => true);
    return [code, message];
  };
  expect(await refused(`insert into parts values (3, '2025-03-01')`)).toEqual([
    'CONFLICT',
    'This id with this day is taken: change one of them.',
  ]);
  expect(await refused(`insert into parts values (4, '2025-03-01')`)).toEqual([
    'NOT_FOUND',
    'Nothing has this day with this id: it was never there, or is deleted by now.',
  ]);
  expect(await refused('delete from days')).toEqual([
    'CONFLICT',
    'There are parts that still refer to this: delete those first, or give them another id.',
  ]);
});

test('a partitioned table and a fresh copy have their rows in the status', async () => {
  await expectSame();
  const config = { ...testConfig(), waitMs: 1000 };
  const report = await withServers(databases.config, config, 'status', (servers) => statusOf(servers, config));
  for (const { tables } of [report.primary, ...report.replicas]) {
    const { rows, bytes } = tables.find(({ table }) => table === 'public.parts')!;
    expect(rows).toBeGreaterThan(0);
    expect(bytes).toBeGreaterThan(0);
  }
});

test('the server finds within a minute what was done to one partition, reads that table on the primary, and tells no changes of it', async () => {
  const lines: string[] = [];
  const server = await startServer({ LOG_LEVEL: 'warn' }, databases, { write: (line) => lines.push(line) });
  try {
    const tables = async () => (await server.rest('GET', '/health')).body.tables;
    const read = async (query: string) => (await server.query(query)).readback;
    const finding = (table: string, part: string) => ({
      table,
      column: null,
      found: `${table}: its partition ${part} was dropped or detached, which PostgreSQL does not replicate: replicas hold other rows`,
      command: 'readback doctor --fix, which copies the replicas again',
    });
    const following = ['changes { __typename }', 'postChanged { cursor }', 'userChanged { cursor }'].map((field) =>
      subscribeTo<any>(server.websocket(), `subscription { ${field} }`),
    );
    const [all, ofPosts, ofUsers] = following as [Events<any>, Events<any>, Events<any>];
    expect((await all.next()).changes.__typename).toBe('CaughtUp');
    const ended = [all, ofPosts].map((events) => events.failure());
    const user = ofUsers.next();
    await primary`drop table parts_2`;
    // As if posts, which are served, had partitions.
    await primary`insert into readback.partition_changes (table_name, part_name, what) values ('posts', 'posts_1', 'dropped or detached')`;
    await expect
      .poll(tables, { timeout: 60_000, interval: 500 })
      .toEqual(expect.arrayContaining([finding('parts', 'parts_2'), finding('posts', 'posts_1')]));
    expect(lines.filter((line) => line.includes('its partition parts_2 was dropped'))).toHaveLength(1);
    expect((await server.rest('GET', '/health')).body.status).toBe('degraded');
    expect(await read('{ users { nodes { id } } }')).toMatchObject({ source: 'replica-1' });
    expect(await read('{ posts { nodes { id } } }')).toMatchObject({
      source: 'primary',
      fallback: 'the replicas hold other rows',
    });
    for (const query of [
      'subscription { postChanged { cursor } }',
      'subscription { changes(snapshot: true) { __typename } }',
    ])
      expect((await server.websocket().iterate({ query }).next()).value).toMatchObject({
        errors: [{ extensions: { code: 'REPLICA_UNAVAILABLE' } }],
      });
    for (const one of ended)
      expect(await one).toMatchObject([
        { message: expect.stringContaining('posts'), extensions: { code: 'REPLICA_UNAVAILABLE' } },
      ]);
    await primary`insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-')`;
    expect((await user).userChanged.cursor).toEqual(expect.any(String));
    await fixAll(databases.config);
    await expect.poll(tables, { timeout: 60_000, interval: 500 }).toEqual([]);
    await expect.poll(() => read('{ posts { nodes { id } } }')).toMatchObject({ source: 'replica-1' });
  } finally {
    await server.stop();
  }
});
