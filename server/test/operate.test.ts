import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addReplica, planDrop } from '../operate/replicas.ts';
import { reset } from '../operate/reset.ts';
import { withServers } from '../operate/servers.ts';
import { statusOf } from '../operate/status/status.ts';
import { freshDatabases, testConfig, type TestDatabases } from './databases.ts';
import { faults } from './doctor.ts';
import { disableSubscription } from './faults.ts';

let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
beforeEach(async () => {
  databases = await freshDatabases({ replicas: 2 });
  primary = databases.primary;
  replica = databases.replicas[0]!;
});
afterEach(() => databases.drop());

const config = testConfig({ DB_CONNECT_TIMEOUT_MS: 2000 });
type Given = TestDatabases['config'];

const status = (given: Given = databases.config) =>
  withServers(given, config, 'status', (servers) => statusOf(servers, { ...config, waitMs: 1000 }));

const WITHIN = { timeout: 10_000, interval: 20 };

const slots = async () =>
  (
    await primary`select slot_name::text as name from pg_replication_slots where database = current_database() order by 1`
  ).map(({ name }) => name as string);

describe('status', () => {
  test('tells everything of both sides, in a shape that stays', async () => {
    await primary`insert into users (username, email, password_hash) values ('a', 'a@example.com', '-')`;
    const { isWell, primary: one, replicas } = await status();
    expect(isWell).toBe(true);
    const position = expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/);
    const table = { table: expect.any(String), rows: expect.any(Number), bytes: expect.any(Number) };
    expect(one).toEqual({
      name: 'primary',
      at: expect.stringMatching(/^127\.0\.0\.1:\d+\//),
      error: null,
      version: expect.stringMatching(/^\d+\.\d+$/),
      position,
      tables: Array(3).fill({ ...table, sync: null }),
      clients: expect.any(Array),
      slots: Array(2).fill({
        name: expect.any(String),
        isActive: true,
        walStatus: 'reserved',
        heldBytes: expect.any(Number),
        safeBytes: expect.any(Number),
        invalidationReason: null,
        isFailover: true,
      }),
    });
    expect(replicas[1]).toEqual({
      name: 'replica-2',
      at: expect.any(String),
      error: null,
      version: expect.any(String),
      position,
      lagBytes: expect.any(Number),
      lagMs: expect.any(Number),
      subscription: {
        isEnabled: true,
        streaming: 'on',
        worker: expect.any(Number),
        receivedAt: expect.any(String),
        applyErrors: 0,
        syncErrors: 0,
      },
      slot: {
        name: expect.stringMatching(/^readback_/),
        isActive: true,
        walStatus: 'reserved',
        heldBytes: expect.any(Number),
        safeBytes: expect.any(Number),
        invalidationReason: null,
        isFailover: true,
      },
      tables: Array(3).fill({ ...table, sync: 'ready' }),
      changeLog: {
        logId: expect.any(String),
        rows: expect.any(Number),
        bytes: expect.any(Number),
        oldest: expect.any(String),
        newest: expect.any(String),
        position,
        prunedTo: position,
        completeSince: position,
      },
      clients: [],
    });
  });

  test('who is connected as readback', async () => {
    const sql = postgres(databases.config.primary.url, { max: 1, connection: { application_name: 'someone' } });
    await sql`select 1`;
    const { clients } = (await status()).primary;
    expect(clients).toContainEqual({ application: 'someone', user: 'readback', connections: 1, busy: 0 });
    await sql.end();
  });

  test('a replica where nothing arrives, one that is away, and databases without anything', async () => {
    const enable = await disableSubscription(replica);
    const away = { url: 'postgres://a:secret@127.0.0.1:1/x', adminUrl: 'postgres://a:secret@127.0.0.1:1/x' };
    const report = await status({ ...databases.config, replicas: [databases.config.replicas[0]!, away] });
    expect(report.isWell).toBe(false);
    expect(report.replicas[0]).toMatchObject({ lagMs: null, subscription: { isEnabled: false } });
    expect(report.replicas[1]).toMatchObject({ error: expect.stringMatching(/ECONNREFUSED/), position: null });
    expect(JSON.stringify(report)).not.toContain('secret');
    await enable();
    const empty = await freshDatabases({ settle: false });
    expect(await status(empty.config)).toMatchObject({
      isWell: false,
      replicas: [{ changeLog: null, subscription: null }],
    });
    await empty.drop();
  });
});

describe('replica', () => {
  const drop = (which: string, given: Given = databases.config) =>
    withServers(given, config, 'drop', async (servers) => (await planDrop(servers, which, config)).run());

  test('one is dropped on both sides, and added again', { timeout: 30_000 }, async () => {
    const before = await slots();
    const second = databases.config.replicas[1]!;
    await drop('replica-2');
    expect(await slots()).toHaveLength(1);
    const roles = await primary`select rolname::text as name from pg_roles where rolname in ${primary(before)}`;
    expect(roles.map(({ name }) => name)).toEqual(await slots());
    await primary`insert into users (username, email, password_hash) values ('between', 'b@example.com', '-')`;
    const first = { ...databases.config, replicas: databases.config.replicas.slice(0, 1) };
    await addReplica(first, second, config, () => {});
    expect(await slots()).toEqual(before);
    expect(await databases.replicas[1]!`select username from users`).toEqual([{ username: 'between' }]);
    expect(await faults(databases.config)).toEqual([]);
    await expect(addReplica(databases.config, second, config, () => {})).rejects.toThrow('is configured already');
  });

  test('one that is gone leaves its slot, which is found as the one that nobody reads', async () => {
    const [{ name }] = (await replica`
      select subslotname::text as name from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`) as [
      { name: string },
    ];
    const url = 'postgres://a:b@127.0.0.1:1/x';
    const given = { ...databases.config, replicas: [{ url, adminUrl: url }, databases.config.replicas[1]!] };
    await expect(drop('replica-1', given)).rejects.toThrow('the primary has no slot that nobody reads');
    await expect(drop(name)).rejects.toThrow(`The slot ${name} is of replica-1`);
    await replica`alter subscription readback disable`;
    await expect
      .poll(
        async () => (await primary`select from pg_replication_slots where slot_name = ${name} and active`).length,
        WITHIN,
      )
      .toBe(0);
    await replica`alter subscription readback set (slot_name = none)`;
    await drop('replica-1', given);
    expect(await slots()).not.toContain(name);
    await expect(drop('replica-7')).rejects.toThrow(/^No replica is named replica-7\. There are: replica-1 \(127/);
  });
});

describe('reset', () => {
  const run = async (tables: boolean) => {
    const lines: string[] = [];
    await withServers(databases.config, config, 'reset', (servers) =>
      reset(servers, { ...config, tables }, (line) => lines.push(line)),
    );
    return lines.join('\n');
  };
  const remains = async (sql: postgres.Sql) => {
    const [row] = await sql`
      select to_regnamespace('readback') is not null as schema, to_regclass('users') is not null as users,
             (select count(*)::int from pg_publication) as publications`;
    return { ...row };
  };

  test('takes everything but the tables out, and says what it leaves', async () => {
    await primary`insert into users (username, email, password_hash) values ('a', 'a@example.com', '-')`;
    const said = await run(false);
    expect(said).toContain('Left: public.posts, public.users with all rows.');
    for (const sql of [primary, ...databases.replicas])
      expect(await remains(sql)).toEqual({ schema: false, users: true, publications: 0 });
    expect(await slots()).toEqual([]);
    expect(await primary`select username from users`).toEqual([{ username: 'a' }]);
  });

  test('with --tables, set-up can begin anew', { timeout: 30_000 }, async () => {
    await run(true);
    expect(await remains(replica)).toEqual({ schema: false, users: false, publications: 0 });
    const { setUp } = await import('../setup/setup.ts');
    await setUp(databases.config, config, () => {});
    expect(await faults(databases.config)).toEqual([]);
  });
});
