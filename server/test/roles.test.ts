import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freshDatabases, type TestDatabases } from './support/databases.ts';

/** What sql/ROLES.md says that roles may not, tried. */
let databases: TestDatabases;
beforeAll(async () => {
  databases = await freshDatabases();
  await databases.primary`insert into users (username, email, password_hash) values ('ada', 'ada@example.com', 'hash')`;
  for (const sql of [databases.primary, ...databases.replicas]) {
    await sql`create schema elsewhere`;
    await sql`create table elsewhere.secrets (secret text)`;
  }
});
afterAll(() => databases.drop());

type Place = 'primary' | 'replica';

/** As the serving process has it: its own login, in a role. */
async function attempt(place: Place, role: string, statement: string): Promise<string> {
  const { url } = place === 'primary' ? databases.config.primary : databases.config.replicas[0]!;
  const sql = postgres(url, { max: 1, connection: { role }, onnotice: () => {} });
  try {
    await sql.unsafe(statement);
    return 'allowed';
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    await sql.end();
  }
}

const DENIED = '42501';
const READ_ONLY_FUNCTION = ['pg_read_file', "'/etc/passwd'"];

const refused: [Place, string, string][] = [
  ['primary', 'readback_writer', 'select password_hash from users'],
  ['primary', 'readback_writer', 'select * from users'],
  ['primary', 'readback_writer', "update users set is_admin = true where username = 'ada'"],
  [
    'primary',
    'readback_writer',
    "insert into users (username, email, password_hash, is_admin) values ('x', 'x', '-', true)",
  ],
  ['primary', 'readback_writer', "update users set email = 'x' where password_hash like 'h%'"],
  ['primary', 'readback_writer', "delete from users where password_hash like 'h%'"],
  ['primary', 'readback_writer', "update users set email = 'x' returning password_hash"],
  ['primary', 'readback_writer', 'update readback.signing_keys set secret = secret'],
  ['primary', 'readback_writer', 'select * from readback.renewals'],
  ['primary', 'readback_writer', 'delete from readback.ended_sessions'],
  ['primary', 'readback_reader', 'select readback.forget_renewals()'],
  ['primary', 'readback_writer', 'drop table users'],
  ['primary', 'readback_writer', 'truncate users'],
  ['primary', 'readback_writer', 'alter table users disable trigger all'],
  ['primary', 'readback_writer', 'create table public.mine (id int)'],
  ['primary', 'readback_writer', 'create function public.mine() returns int language sql as $$ select 1 $$'],
  ['primary', 'readback_writer', 'select readback.end_tokens()'],
  ['primary', 'readback_reader', 'select password_hash from users'],
  ['primary', 'readback_reader', "select * from readback.credentials('ada')"],
  ['primary', 'readback_reader', 'select * from readback.signing_keys'],
  ['primary', 'readback_reader', "select readback.give_up_slot('readback_0123456789ab', 100000000)"],
  ['primary', 'readback_writer', "select readback.give_up_slot('readback_0123456789ab', 100000000)"],
  ['primary', 'readback_writer', 'select pg_drop_replication_slot(slot_name) from pg_replication_slots'],
  ['primary', 'readback_pruner', 'select pg_drop_replication_slot(slot_name) from pg_replication_slots'],
  ['primary', 'readback_pruner', 'select pg_terminate_backend(pid) from pg_stat_replication'],
  ['primary', 'readback_pruner', 'select username from users'],
  ['primary', 'readback_pruner', 'select * from readback.slots()'],
  ['primary', 'readback_pruner', 'select * from readback.signing_keys'],
  ['primary', 'readback_reader', 'delete from users'],
  ['primary', 'readback_reader', 'update readback.heartbeat set beat_at = now()'],
  ['replica', 'readback_reader', 'delete from users'],
  ['replica', 'readback_reader', 'update users set is_admin = true'],
  ['replica', 'readback_reader', 'truncate readback.change_log'],
  ['replica', 'readback_reader', 'delete from readback.change_log'],
  ['replica', 'readback_reader', 'select readback.prune_log(0, 0, 1)'],
  ['replica', 'readback_reader', 'select subconninfo from pg_subscription'],
  ['replica', 'readback_reader', 'alter subscription readback disable'],
  ['replica', 'readback_pruner', 'select * from users'],
  ['replica', 'readback_pruner', 'delete from readback.change_log'],
  ...(['readback_writer', 'readback_reader', 'readback_pruner'] as const).flatMap((role) =>
    [
      'select * from elsewhere.secrets',
      'alter system set fsync = off',
      `select ${READ_ONLY_FUNCTION[0]}(${READ_ONLY_FUNCTION[1]})`,
      "copy (select 1) to program 'true'",
      'create role mine',
      'alter role readback superuser',
      'create subscription mine connection $$host=x$$ publication x',
      'select pg_terminate_backend(pid) from pg_stat_activity where usesysid <> (select oid from pg_roles where rolname = current_user) and datname = current_database() and usename <> session_user',
    ].map((statement): [Place, string, string] => [
      role === 'readback_writer' ? 'primary' : 'replica',
      role,
      statement,
    ]),
  ),
];

describe('refused', () => {
  for (const [place, role, statement] of refused) {
    test(`${role} on the ${place}: ${statement}`, async () => {
      expect(await attempt(place, role, statement)).toBe(DENIED);
    });
  }

  test('the replica has no hash to read, nor the keys that sign tokens', async () => {
    const [replica] = databases.replicas;
    expect(
      await replica!`select from information_schema.columns where column_name like '%password%' and table_schema in ('public', 'readback')`,
    ).toHaveLength(0);
    expect(await replica!`select to_regclass('readback.signing_keys') as keys`).toEqual([{ keys: null }]);
    const published =
      await databases.primary`select tablename, attnames::text as columns from pg_publication_tables where pubname = 'readback'`;
    expect(JSON.stringify(published)).not.toMatch(/password|signing/);
  });

  test('no role logs in by itself, owns anything, or is more than it looks', async () => {
    for (const sql of [databases.primary, databases.replicas[0]!]) {
      expect(
        await sql`select from pg_roles where rolname in ('readback_writer', 'readback_reader', 'readback_pruner')
        and (rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)`,
      ).toHaveLength(0);
      expect(await sql`select from pg_class where relowner::regrole::text like 'readback%'`).toHaveLength(0);
    }
  });
});

const allowed: [Place, string, string][] = [
  ['primary', 'readback_writer', "select password_hash from readback.credentials('ada')"],
  ['primary', 'readback_writer', 'select id from readback.signing_keys'],
  ['primary', 'readback_writer', "update users set first_name = 'Ada' where username = 'ada' returning id, email"],
  ['primary', 'readback_reader', 'select username, is_admin, token_version from users'],
  ['primary', 'readback_reader', 'select * from readback.slots()'],
  ['primary', 'readback_pruner', "select readback.give_up_slot('readback_0123456789ab', 100000000)"],
  ['replica', 'readback_reader', 'select * from users'],
  ['replica', 'readback_reader', 'select * from readback.change_log'],
  ['replica', 'readback_pruner', 'select readback.prune_log(1, 1000000, 1)'],
];

test('a slot that holds little is not given up, whoever asks, nor one that is none of ours', async () => {
  const { primary } = databases;
  const other = `other_${databases.name}`;
  const slots = async () =>
    (await primary`select from pg_replication_slots where database = current_database() or slot_name = ${other}`)
      .length;
  const before = await slots();
  await primary`select pg_create_physical_replication_slot(${other}, true)`;
  onTestFinished(async () => void (await primary`select pg_drop_replication_slot(${other})`));
  for (let n = 0; n < 5; n++) {
    await primary`select pg_logical_emit_message(true, 'fill', 'x')`;
    await primary`select pg_switch_wal()`;
  }
  const giveUp = (slot: string, bytes: number) =>
    attempt('primary', 'readback_pruner', `select readback.give_up_slot('${slot}', ${bytes})`);
  const [own] = await primary`select slot_name from pg_replication_slots where database = current_database()`;
  expect(await giveUp(own!['slot_name'], 67_108_863)).toBe('22023');
  expect(await giveUp(own!['slot_name'], 2 ** 40)).toBe('allowed');
  expect(await giveUp(other, 67_108_864)).toBe('allowed');
  expect(await slots()).toBe(before + 1);
});

test('nothing of a session stands in the way of what functions with their owner’s rights look at', async () => {
  const seen: string[] = [];
  const sql = postgres(databases.config.primary.url, { max: 1, onnotice: ({ message = '' }) => seen.push(message) });
  await sql.unsafe(`set role readback_writer;
    create function pg_temp.steal() returns text language plpgsql as $$
    begin raise notice '%', (select rolsuper from pg_roles where rolname = current_user); return 'readback_x'; end $$;
    create view pg_temp.pg_replication_slots as
      select pg_temp.steal() as slot_name, current_database() as database, true as active, 'x'::text as wal_status,
             null::pg_lsn as confirmed_flush_lsn, null::pg_lsn as restart_lsn, 0 as safe_wal_size`);
  await sql`select * from readback.slots()`.catch(() => undefined);
  await sql.end();
  expect(seen).toEqual([]);
  for (const server of [databases.primary, ...databases.replicas])
    expect(
      await server`
        select proname from pg_proc where pronamespace = 'readback'::regnamespace and prosecdef
          and coalesce(proconfig, '{}') <> array['search_path=pg_catalog, pg_temp']`,
    ).toEqual([]);
});

describe('allowed', () => {
  for (const [place, role, statement] of allowed) {
    test(`${role} on the ${place}: ${statement}`, async () => {
      expect(await attempt(place, role, statement)).toBe('allowed');
    });
  }
});
