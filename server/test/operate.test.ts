import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { subscribedTables, subscriptionOf } from '../database/sql/subscriptions.ts';
import { formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { addReplica, planDrop } from '../operate/replicas.ts';
import { reset } from '../operate/reset.ts';
import { withServers } from '../setup/servers.ts';
import { statusOf } from '../operate/status.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { faults } from './support/doctor.ts';
import { disableSubscription } from './support/faults.ts';

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

/** Undefined: no subscription. */
const slotOfReplica = async (sql: postgres.Sql): Promise<string | undefined> =>
  (
    await sql`select subslotname::text as name from pg_subscription
      where subdbid = (select oid from pg_database where datname = current_database())`
  )[0]?.['name'] as string | undefined;

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

  describe('by who is no superuser', () => {
    const name = async () => (await slotOfReplica(databases.replicas[1]!)) ?? '';
    const first = () => ({ ...databases.config, replicas: databases.config.replicas.slice(0, 1) });
    let operator: string;
    /** Everything of the second replica. */
    const left = async (slot: string) => ({
      subscription: (await slotOfReplica(databases.replicas[1]!)) !== undefined,
      slot: (await slots()).includes(slot),
      login: (await primary`select from pg_roles where rolname = ${slot}`).length > 0,
    });
    const asOperator = (): Given => {
      const as = (url: string) => formatDatabaseUrl({ ...parseDatabaseUrl(url), user: operator, password: 'x' });
      const [one, two] = databases.config.replicas;
      return {
        ...databases.config,
        primary: { ...databases.config.primary, adminUrl: as(databases.config.primary.adminUrl) },
        replicas: [one!, { ...two!, adminUrl: as(two!.adminUrl) }],
      };
    };
    beforeEach(async () => {
      operator = `op_${databases.name}`;
      for (const sql of [primary, databases.replicas[1]!])
        await sql.unsafe(
          `create role ${operator} login createrole password 'x'; grant usage on schema readback to ${operator}`,
        );
    });
    afterEach(async () => {
      for (const sql of [primary, databases.replicas[1]!]) {
        await sql.unsafe(
          `reassign owned by ${operator} to current_user; drop owned by ${operator}; drop role ${operator}`,
        );
      }
    });

    test('what is told of a subscription is told to anybody', async () => {
      await withServers(asOperator(), config, 'test', async ({ replicas: [, second] }) => {
        const told = await subscriptionOf(second!.admin);
        expect(told).toMatchObject({
          isEnabled: true,
          streaming: 'on',
          origin: 'any',
          failover: true,
          publications: ['readback'],
        });
        expect((await subscribedTables(second!.admin)).map(({ isReady }) => isReady)).toEqual([true, true, true]);
      });
    });

    test('what may not be done in full is not begun', { timeout: 30_000 }, async () => {
      const slot = await name();
      const all = { subscription: true, slot: true, login: true };
      const refusal = await drop('replica-2', asOperator()).catch((error: Error) => error.message);
      expect(refusal).toMatch(/^primary \(127.*\): the login op_\w+ may not drop replication slots/);
      expect(refusal).toMatch(new RegExp(`^primary .* may not drop the login ${slot}: permission denied`, 'm'));
      expect(refusal).toMatch(/^replica-2 \(127.* may not drop the subscription readback/m);
      expect(await left(slot)).toEqual(all);
      // Each of the rights is asked for by itself.
      await databases.replicas[1]!.unsafe(`alter role ${operator} superuser`);
      await primary.unsafe(`alter role ${operator} replication`);
      await expect(drop('replica-2', asOperator())).rejects.toThrow(/may not drop the login/);
      expect(await left(slot)).toEqual(all);
      await primary.unsafe(`alter role ${operator} noreplication; grant ${slot} to ${operator} with admin option`);
      await expect(drop('replica-2', asOperator())).rejects.toThrow(/may not drop replication slots/);
      expect(await left(slot)).toEqual(all);
      expect(await faults(databases.config)).toEqual([]);
      await primary.unsafe(`alter role ${operator} replication`);
      await expect(drop('replica-2', asOperator())).rejects.toThrow(/may not drop the login .*permission denied for/);
      expect(await left(slot)).toEqual(all);
      // Who owns what the login has rights on may take them away.
      for (const owned of [
        'schema public',
        'schema readback',
        'table users',
        'table posts',
        'table readback.heartbeat',
      ])
        await primary.unsafe(`alter ${owned} owner to ${operator}`);
      await drop('replica-2', asOperator());
      expect(await left(slot)).toEqual({ subscription: false, slot: false, login: false });
      await addReplica(first(), databases.config.replicas[1]!, config, () => {});
    });

    test('nor a reset', async () => {
      const slot = await name();
      const run = withServers(asOperator(), config, 'reset', (servers) =>
        reset(servers, { ...config, tables: true }, () => {}),
      );
      await expect(run).rejects.toThrow(
        /^primary .*may not drop replication slots(.|\n)*may not drop the table public\.users/,
      );
      expect(await left(slot)).toEqual({ subscription: true, slot: true, login: true });
    });
  });

  test('a drop that was cut short is finished by another one', { timeout: 30_000 }, async () => {
    const second = databases.replicas[1]!;
    const slot = (await slotOfReplica(second))!;
    const first = { ...databases.config, replicas: databases.config.replicas.slice(0, 1) };
    const login = () => primary`select from pg_roles where rolname = ${slot}`;
    await second`alter subscription readback disable`;
    await second`alter subscription readback set (slot_name = none)`;
    await drop('replica-2');
    expect([await slotOfReplica(second), (await slots()).includes(slot), await login()]).toEqual([
      undefined,
      false,
      [],
    ]);
    await expect(drop('replica-2')).rejects.toThrow('there is nothing to drop');
    // The slot and the login, or the login alone; the replica is asked, or gone.
    const url = 'postgres://a:b@127.0.0.1:1/x';
    const lost = { ...first, replicas: [...first.replicas, { url, adminUrl: url }] };
    for (const [which, given] of [
      ['replica-2', databases.config],
      ['replica-2', lost],
      [slot, first],
    ] as const) {
      await primary.unsafe(`create role ${slot} login replication; grant select on readback.heartbeat to ${slot}`);
      await drop(which, given);
      expect(await login()).toEqual([]);
    }
    await primary`select pg_create_logical_replication_slot(${slot}, 'pgoutput')`;
    await drop('replica-2');
    expect(await slots()).not.toContain(slot);
    await addReplica(first, databases.config.replicas[1]!, config, () => {});
    expect(await faults(databases.config)).toEqual([]);
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
    expect(said).toContain(
      'Left: public.posts, public.users with all rows. Before the next readback migrate, rename or drop those of the replicas',
    );
    for (const sql of [primary, ...databases.replicas])
      expect(await remains(sql)).toEqual({ schema: false, users: true, publications: 0 });
    expect(await slots()).toEqual([]);
    expect(await primary`select username from users`).toEqual([{ username: 'a' }]);
  });

  test('with --tables, set-up can begin again', { timeout: 30_000 }, async () => {
    await run(true);
    expect(await remains(replica)).toEqual({ schema: false, users: false, publications: 0 });
    const { setUp } = await import('../setup/setup.ts');
    await setUp(databases.config, config, () => {});
    expect(await faults(databases.config)).toEqual([]);
  });
});
