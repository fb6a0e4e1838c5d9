import postgres from 'postgres';
import { afterEach, beforeEach, expect, inject, onTestFinished, test } from 'vitest';
import {
  CreatePostDocument,
  DeletePostDocument,
  PostDocument,
  UpdatePostDocument,
  UserDocument,
} from '../../schema/generated/operations.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine } from './support/doctor.ts';
import { startServer } from './support/server.ts';

let databases: TestDatabases;
beforeEach(async () => {
  databases = await freshDatabases();
});
afterEach(async () => {
  // The role is the whole server's.
  await databases.primary`alter role readback_reader nobypassrls`;
  await databases.drop();
});

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

test('row level security on the primary: a copy fails instead of taking no rows, and set-up lets it see all', async () => {
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
  expect(found.map(({ server }) => server)).toEqual(['primary', 'primary']);
  expect(found.map((one) => one.found)).toContainEqual(expect.stringMatching(/which holds for readback_[0-9a-f]{12}$/));
  const said: string[] = [];
  await setUp(databases.config, testConfig(), (line) => said.push(line));
  expect(said).toContain(
    'primary: public.users has row level security: reads go by the rights of its declaration, writes by its policies, too',
  );
  await expect.poll(state, { timeout: 30_000 }).toBe('r');
  expect((await replica`select from users`).length).toBe(ROWS);
  expect(await rowSecurity()).toEqual([]);
});

/** Once the databases are gone. */
function dropAfter(role: string): void {
  onTestFinished(async () => {
    const admin = postgres(inject('cluster').servers['primary']!.adminUrl, { max: 1 });
    await admin.unsafe(`drop role ${role}`);
    await admin.end();
  });
}

test('a login that somebody else made copies no table of which policies would hide rows: it is named', async () => {
  const { primary, config } = databases;
  const url = new URL(config.primary.adminUrl);
  const login = `copies_${databases.name}`;
  await primary.unsafe(`create role ${login} login replication password 'x'`);
  dropAfter(login);
  [url.username, url.password] = [login, 'x'];
  await primary`create table notes (id int primary key)`;
  await primary`alter table notes enable row level security`;
  await primary`alter publication readback add table notes`;
  await databases.replicas[0]!`create table notes (id int primary key)`;
  await expect(setUp({ ...config, replicationUrl: url.href }, testConfig(), () => {})).rejects.toThrow(
    `public.notes has row level security, which holds for ${login}. Run there: alter role ${login} bypassrls`,
  );
});

test('a table under policies: reads go by the rights of its declaration, and what the policies refuse to write is FORBIDDEN', async () => {
  const { primary } = databases;
  const [ada] = await insertUsers();
  const author = ada!['id'] as string;
  await primary.unsafe(`alter table posts enable row level security;
    create policy written on posts to readback_writer using (title not like 'locked%') with check (title not like 'bad%')`);
  const pooled = new URL(databases.config.primary.url);
  pooled.username = `reads_${databases.name}`;
  dropAfter(pooled.username);
  const pooledReads = { ...databases.config.primary, pooled: { reads: pooled.href } };
  await setUp({ ...databases.config, primary: pooledReads }, testConfig(), () => {});
  const seeing = await primary`
    select rolname from pg_roles where rolname in ('readback_reader', 'readback_writer', ${pooled.username}) and rolbypassrls order by 1`;
  expect(seeing.map(({ rolname }) => rolname)).toEqual(['readback_reader', pooled.username]);
  const server = await startServer({}, databases);
  const create = (title: string) => server.query(CreatePostDocument, { input: { authorId: author, title, body: '' } });
  const made = (await create('fine')).data.createPost.post;
  expect(await server.failure(CreatePostDocument, { input: { authorId: author, title: 'bad', body: '' } })).toBe(
    'FORBIDDEN',
  );
  const update = (id: string, title: string) => server.failure(UpdatePostDocument, { id, input: { title } });
  expect(await update(made.id, 'bad')).toBe('FORBIDDEN');
  const [locked] = await primary<{ id: string }[]>`
    insert into posts (author_id, title, body) values (${author}, 'locked', '') returning id`;
  expect(
    (await server.query(PostDocument, { id: locked!.id }, { 'readback-consistency': 'strong' })).data.post?.title,
  ).toBe('locked');
  expect(await update(locked!.id, 'open')).toBe('FORBIDDEN id');
  expect(await server.failure(DeletePostDocument, { id: locked!.id })).toBe('FORBIDDEN id');
  expect(await update(crypto.randomUUID(), 'open')).toBe('NOT_FOUND id');
  await server.stop();
});
