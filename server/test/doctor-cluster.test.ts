import { rmSync } from 'node:fs';
import postgres from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startEmbedded } from '../../infra/cluster/embedded.ts';
import { startCluster, TEMPLATE, type OwnCluster } from './support/cluster.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { examine, faults, fixAll } from './support/doctor.ts';
import { quickFolder } from './support/folder.ts';

/** Faults of whole servers: roles, settings and slots that other tests' databases would suffer from. */
let cluster: OwnCluster;
let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
beforeAll(async () => {
  cluster = await startCluster({ max_prepared_transactions: '5' });
});
afterAll(() => cluster.stop());
beforeEach(async () => {
  databases = await freshDatabases({ cluster });
  primary = databases.primary;
  replica = databases.replicas[0]!;
});
afterEach(() => databases.drop());

const WITHIN = { timeout: 10_000, interval: 20 };

const slotOf = async () =>
  (
    await replica`select subslotname from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`
  )[0]!['subslotname'] as string;

async function expectArrival(): Promise<void> {
  const [row] = await primary`
    insert into users (username, email, password_hash) values ('later', 'later@example.com', '-') returning id`;
  await expect.poll(async () => (await replica`select from users where id = ${row!['id']}`).length, WITHIN).toBe(1);
}

test(
  'a prepared transaction that cannot be applied: --fix has it sent as it is committed',
  { timeout: 60_000 },
  async () => {
    await replica`alter subscription readback disable`;
    const setTwoPhase = () =>
      replica`alter subscription readback set (two_phase = true)`.then(
        () => 'set',
        ({ message }: Error) => message,
      );
    await expect.poll(setTwoPhase, WITHIN).toBe('set');
    await replica`alter subscription readback enable`;
    const session = postgres(databases.config.primary.adminUrl, { max: 1 });
    await session.unsafe(`
    begin; insert into users (username, email, password_hash) values ('prepared', 'p@example.com', '-');
    prepare transaction '${databases.name}'`);
    const errors = async () =>
      (
        await replica`select apply_error_count::int as n from pg_stat_subscription_stats s
    join pg_subscription p on p.oid = s.subid where p.subdbid = (select oid from pg_database where datname = current_database())`
      )[0]!['n'];
    await session.end();
    await expect.poll(errors, { timeout: 20_000, interval: 50 }).toBeGreaterThan(0);
    await primary.unsafe(`commit prepared '${databases.name}'`);
    expect(await faults(databases.config)).toEqual(['replica-1 two-phase']);
    await fixAll(databases.config);
    await expectArrival();
    expect(await replica`select username from users order by 1`).toEqual([
      { username: 'later' },
      { username: 'prepared' },
    ]);
    await expect.poll(() => faults(databases.config), { timeout: 20_000 }).toEqual([]);
  },
);

test('a slot that the primary has given up is named, and --fix copies again', { timeout: 60_000 }, async () => {
  await primary`insert into users (username, email, password_hash) values ('early', 'early@example.com', '-')`;
  await expectArrival();
  const [log] = await replica`select log_id from readback.log_state`;
  await replica`alter subscription readback disable`;
  await primary`alter system set max_slot_wal_keep_size = '1MB'`;
  await primary`select pg_reload_conf()`;
  const slot = await slotOf();
  await expect
    .poll(async () => {
      await primary`select pg_logical_emit_message(false, 'fill', repeat('x', 1000000)) from generate_series(1, 20)`;
      await primary`select pg_switch_wal()`;
      await primary`checkpoint`;
      return (await primary`select wal_status from pg_replication_slots where slot_name = ${slot}`)[0];
    }, WITHIN)
    .toEqual({ wal_status: 'lost' });
  await primary`alter system reset max_slot_wal_keep_size`;
  await primary`select pg_reload_conf()`;
  expect(await faults(databases.config)).toEqual(['replica-1 slot-lost', 'replica-1 subscription-disabled']);
  await primary`delete from users where username = 'early'`;
  await fixAll(databases.config);
  expect(await faults(databases.config)).toEqual([]);
  expect(await replica`select username from users`).toEqual([{ username: 'later' }]);
  expect(await replica`select log_id from readback.log_state`).not.toEqual([log]);
  await primary`delete from users`;
  await expectArrival();
});

test('a login that may not take on its roles is named, and --fix grants them', { timeout: 60_000 }, async () => {
  await primary`revoke readback_writer from readback`;
  const findings = await examine(databases.config);
  expect(findings[0]).toMatchObject({ check: 'login', remedy: 'Run there: grant readback_writer to readback;' });
  await fixAll(databases.config);
  expect(await faults(databases.config)).toEqual([]);
});

test('a primary without limits for slots is told what could be safer', { timeout: 60_000 }, async () => {
  await primary`alter system set max_slot_wal_keep_size = -1`;
  await primary`alter system set idle_replication_slot_timeout = 0`;
  await primary`select pg_reload_conf()`;
  const advice = async () =>
    (await examine(databases.config)).map(({ check, severity, remedy }) => ({ check, severity, remedy }));
  await expect.poll(advice, WITHIN).toEqual([
    { check: 'wal-limit', severity: 'advice', remedy: expect.stringContaining("max_slot_wal_keep_size = '10GB'") },
    { check: 'idle-slot-limit', severity: 'advice', remedy: expect.stringContaining("timeout = '1d'") },
  ]);
  await primary`alter system reset all`;
  await primary`select pg_reload_conf()`;
  await expect.poll(advice, WITHIN).toEqual([]);
});

test('slots that are all taken', { timeout: 60_000 }, async () => {
  const [room] = await primary`
    select current_setting('max_replication_slots')::int - count(*)::int as free from pg_replication_slots`;
  await primary`select pg_create_physical_replication_slot('taken_' || n) from generate_series(1, ${room!['free']}) n`;
  const [finding] = await examine(databases.config);
  expect(finding).toMatchObject({
    check: 'limit',
    severity: 'error',
    found: expect.stringMatching(/max_replication_slots/),
  });
  await primary`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name like 'taken%'`;
});

test('settings that replication cannot do with, on servers that are not set up', { timeout: 60_000 }, async () => {
  const dir = quickFolder();
  const settings = { fsync: 'off', wal_level: 'replica', track_commit_timestamp: 'off' };
  const pair = await startEmbedded({ dir, primaryPort: 0, replicaPort: 0, settings, say: () => {} });
  const found = await faults({ primary: pair.primary, replicas: [pair.replica], replicationUrl: undefined });
  await pair.stop();
  rmSync(dir, { recursive: true, force: true });
  expect(found).toEqual([
    'primary wal-level',
    'replica-1 commit-timestamps',
    'primary not-set-up',
    'replica-1 not-set-up',
  ]);
});

// The last one: what databases are copied from is left without the role's rights.
test('a role that is gone is named, and --fix makes and grants it', { timeout: 60_000 }, async () => {
  await replica`drop owned by readback_reader`;
  const others = postgres(new URL(TEMPLATE, cluster.servers['replica-1']!.adminUrl).href, {
    max: 1,
    onnotice: () => {},
  });
  await others`drop owned by readback_reader`;
  await others`drop role readback_reader`;
  await others.end();
  expect(await faults(databases.config)).toContain('replica-1 role-missing');
  await fixAll(databases.config);
  expect(await faults(databases.config)).toEqual([]);
  await expectArrival();
});
