import { afterEach, beforeEach, expect, test } from 'vitest';
import { UserDocument } from '../../schema/generated/operations.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine } from './support/doctor.ts';
import { startServer } from './support/server.ts';

let databases: TestDatabases;
beforeEach(async () => {
  databases = await freshDatabases();
});
afterEach(() => databases.drop());

const ROWS = 52;
const insertUsers = () => databases.primary`
  insert into users (username, email, password_hash)
  select 'u' || n, n || '@example.com', '-' from generate_series(1, ${ROWS}) n returning id`;

const setUpAgain = () => setUp(databases.config, testConfig(), () => {});
const rowSecurity = async () =>
  (await examine(databases.config))
    .filter(({ check }) => check === 'row-security')
    .map(({ server, found, remedy }) => ({ server, found, remedy }));

test('row level security on a replica: reads fail instead of leaving rows out; doctor and set-up name it', async () => {
  const [user] = await insertUsers();
  const replica = databases.replicas[0]!;
  const count = async () => (await replica`select from users`).length;
  await expect.poll(count).toBe(ROWS);
  await replica`alter table users enable row level security`;
  const server = await startServer({ MONITOR_INTERVAL_MS: 50 }, databases);
  expect(await server.failure(UserDocument, { id: user!['id'] })).toBe('INTERNAL_SERVER_ERROR');
  await server.stop();
  const named = 'public.users has row level security, which holds for readback_reader';
  expect(await rowSecurity()).toEqual([
    {
      server: 'replica-1',
      found: named,
      remedy: expect.stringContaining('alter table public.users disable row level security'),
    },
  ]);
  await expect(setUpAgain()).rejects.toThrow(named);
  await replica`alter table users disable row level security`;
  await setUpAgain();
});

test('row level security on the primary: a copy fails instead of taking no rows, and goes on when it is off', async () => {
  const { primary } = databases;
  const replica = databases.replicas[0]!;
  await insertUsers();
  await expect.poll(async () => (await replica`select from users`).length).toBe(ROWS);
  const [sent] = await primary`
    select array_to_string(attnames, ', ') as columns from pg_publication_tables where pubname = 'readback' and tablename = 'users'`;
  // As somebody may do by hand, after set-up has looked.
  await primary`alter publication readback drop table users`;
  await replica`alter subscription readback refresh publication`;
  await replica`truncate users`;
  await primary.unsafe(`alter publication readback add table users (${sent!['columns']})`);
  await primary`alter table users enable row level security`;
  await replica`alter subscription readback refresh publication`;
  const state = async () =>
    (await replica`select srsubstate from pg_subscription_rel where srrelid = 'users'::regclass`)[0]!['srsubstate'];
  const failures = async () =>
    Number(
      (
        await replica`select sync_error_count as n from pg_stat_subscription_stats s join pg_subscription p on p.oid = s.subid
          where p.subdbid = (select oid from pg_database where datname = current_database())`
      )[0]!['n'],
    );
  await expect.poll(failures, { timeout: 30_000 }).toBeGreaterThan(0);
  expect([await state(), await replica`select from users`]).toEqual(['d', []]);
  const found = await rowSecurity();
  expect(found.map(({ server }) => server)).toEqual(['primary', 'primary', 'primary']);
  expect(found.map((one) => one.found)).toContainEqual(expect.stringMatching(/which holds for readback_[0-9a-f]{12}$/));
  await expect(setUpAgain()).rejects.toThrow('public.users has row level security, which holds for readback_reader');
  await primary`alter table users disable row level security`;
  await expect.poll(state, { timeout: 30_000 }).toBe('r');
  expect((await replica`select from users`).length).toBe(ROWS);
});
