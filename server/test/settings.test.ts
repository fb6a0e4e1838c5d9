import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChangesDocument, CreatePostDocument, CreateUserDocument } from '../../schema/generated/operations.ts';
import { connect } from '../database/connect.ts';
import { sessionSettings } from '../database/settings.ts';
import { setUp } from '../setup/setup.ts';
import { signingKeys } from '../database/sql/keys.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { faults } from './support/doctor.ts';
import { person, startProtected } from './support/people.ts';
import { subscribeTo } from './support/subscribe.ts';

/** Databases that are configured for other programs: in what form values are told, and what names mean. */
const ODD: Record<string, string> = {
  bytea_output: 'escape',
  DateStyle: 'SQL, DMY',
  IntervalStyle: 'sql_standard',
  TimeZone: 'Asia/Kolkata',
  extra_float_digits: '-5',
  xmlbinary: 'hex',
  array_nulls: 'off',
  quote_all_identifiers: 'on',
  standard_conforming_strings: 'off',
  transform_null_equals: 'on',
  default_transaction_isolation: 'serializable',
  default_transaction_read_only: 'on',
  search_path: 'app, public',
};

let databases: TestDatabases;
beforeAll(async () => {
  databases = await freshDatabases({ settle: false });
  const { primary, replicas } = databases.config;
  for (const [index, { url, adminUrl }] of [primary, ...replicas].entries()) {
    const sql = [databases.primary, ...databases.replicas][index]!;
    const logins = [url, adminUrl].map((each) => new URL(each).username);
    // Schemas that the path, or the name of the login, would have looked in first.
    for (const schema of new Set(['app', ...logins])) {
      await sql.unsafe(
        `create schema "${schema}"; create table "${schema}".users (id int); grant all on schema "${schema}" to public`,
      );
    }
    for (const [name, value] of Object.entries(ODD)) {
      // There it holds the apply worker up, which is no connection of ours.
      if (name === 'default_transaction_read_only' && index > 0) continue;
      const values = name === 'search_path' ? value : `'${value}'`;
      await sql.unsafe(`alter database ${databases.name} set ${name} = ${values}`);
    }
  }
  await setUp(databases.config, testConfig(), () => {});
});
afterAll(() => databases.drop());

/** As the server sees it, where the login says nothing else. */
const open = (url: string, role?: 'readback_writer') =>
  connect(url, { max: 1, connectTimeoutMs: 5000, applicationName: 'test', ...(role && { role }) });

test('everything is set up, and works, in databases with settings for others', { timeout: 60_000 }, async () => {
  expect(await faults(databases.config)).toEqual([]);
  const plain = postgres(databases.config.primary.adminUrl, { max: 1 });
  await plain.unsafe('set default_transaction_read_only = off; set search_path = public');
  const server = await startProtected({}, { ...databases, primary: plain });
  try {
    const ada = await person(server);
    const events = subscribeTo<any>(server.websocket(ada.token), ChangesDocument);
    await events.next();
    const { data, errors } = await server.query(
      CreatePostDocument,
      { input: { authorId: ada.id, title: `'\\''--`, body: '\\x41' } },
      { ...ada.headers, 'readback-consistency': 'strong' },
    );
    expect(errors).toEqual([]);
    const { post } = data.createPost;
    expect(post).toMatchObject({ title: `'\\''--`, createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) });
    const { changes } = await events.next();
    expect(changes.post ?? changes).toMatchObject({ title: `'\\''--`, createdAt: post.createdAt });
    const input = { username: 'grace', email: 'grace@example.com', password: 'correct horse' };
    expect((await server.query(CreateUserDocument, { input })).errors).toEqual([]);
    const second = await startProtected({}, databases);
    const { data: listed } = await second.query<any, object>(
      '{ me { username } users { totalCount } }',
      {},
      ada.headers,
    );
    expect(listed).toEqual({ me: { username: ada.username }, users: { totalCount: 2 } });
    await second.stop();
  } finally {
    await server.stop();
    await plain.end();
  }
});

test('a session has its own settings, whatever the database says', async () => {
  for (const { url, adminUrl } of [databases.config.primary, ...databases.config.replicas])
    for (const each of [url, adminUrl]) {
      const sql = open(each);
      for (const [name, value] of Object.entries(sessionSettings({}))) {
        const [row] = await sql<{ value: string }[]>`select current_setting(${name}) as value`;
        expect(`${name}: ${row!.value}`).toBe(`${name}: ${value}`);
      }
      await sql.end();
    }
});

test('images of the change log have one form, whatever the replica says', async () => {
  const [replica] = databases.replicas;
  const { primary } = databases;
  await primary.begin(async (sql) => {
    await sql`set transaction read write`;
    await sql.unsafe(
      `create table public.values_of (id uuid primary key default gen_random_uuid(), b bytea, i interval, f float8, t timestamptz)`,
    );
    await sql`alter publication readback add table public.values_of`;
  });
  await replica!.begin(async (sql) => {
    await sql.unsafe(`create table public.values_of (id uuid primary key, b bytea, i interval, f float8, t timestamptz);
      select readback.watch('public.values_of', 'id')`);
  });
  await setUp(databases.config, testConfig(), () => {});
  await primary.begin(async (sql) => {
    await sql`set transaction read write`;
    await sql`insert into public.values_of (b, i, f, t) values ('\\xff00', '1 day 02:00', 0.1::float8 + 0.2::float8, '2026-01-31 12:00Z')`;
  });
  const image = async () =>
    (await replica!`select after - 'id' as image from readback.change_log where table_name = 'values_of'`)[0]?.[
      'image'
    ];
  await expect.poll(image, { timeout: 20_000 }).toEqual({
    b: '\\xff00',
    i: '1 day 02:00:00',
    f: 0.30000000000000004,
    t: '2026-01-31T12:00:00+00:00',
  });
});

test('a signing key is read in full, or not used', async () => {
  const { primary } = databases;
  const sql = open(databases.config.primary.url, 'readback_writer');
  const keys = await signingKeys(sql);
  expect(keys.length).toBeGreaterThan(0);
  expect(keys.map(({ secret }) => secret.length)).toEqual(keys.map(() => 32));
  await primary.begin(async (admin) => {
    await admin`set transaction read write`;
    await admin`alter table readback.signing_keys drop constraint signing_keys_secret_check`;
    await admin`insert into readback.signing_keys (secret) values ('x')`;
  });
  await expect(signingKeys(sql)).rejects.toThrow(/has 1 bytes, .* 32 are needed/);
  await sql.end();
});
