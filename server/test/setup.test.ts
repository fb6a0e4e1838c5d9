import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterEach, describe, expect, test } from 'vitest';
import { readConfig } from '../boot/config.ts';
import { projectRoot } from '../lib/root.ts';
import { setUp, setUpToServe } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { startServer } from './support/server.ts';
import { sqlFolderWith } from './support/sql-folder.ts';

let databases: TestDatabases | undefined;
afterEach(async () => {
  await databases?.drop();
  databases = undefined;
});

const quiet = () => {};

test('setting up twice changes nothing', async () => {
  databases = await freshDatabases();
  const facts = async () => ({
    subscription: await databases!
      .replicas[0]!`select oid, subconninfo, subslotname from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`,
    slots: await databases!.primary`select slot_name from pg_replication_slots where database = current_database()`,
    // Those with a right in this database: others' set-ups make theirs meanwhile.
    roles: await databases!.primary`
      select distinct refobjid::regrole::text as role from pg_shdepend
      where refclassid = 'pg_authid'::regclass and dbid = (select oid from pg_database where datname = current_database()) order by 1`,
    migrations: [
      await databases!.primary`select * from readback.engine_migrations`,
      await databases!.primary`select * from readback.migrations`,
      await databases!.replicas[0]!`select * from readback.engine_migrations`,
      await databases!.replicas[0]!`select * from readback.migrations`,
    ],
  });
  const before = await facts();
  expect(before.roles.map((row) => row['role'])).toContainEqual(expect.stringMatching(/^readback_[0-9a-f]{12}$/));
  const said: string[] = [];
  await setUp(databases.config, testConfig(), (line) => said.push(line));
  expect(await facts()).toEqual(before);
  expect(said).toEqual([]);
});

/** How many files there are for a replica. */
const files = () => ({
  engine: readdirSync(join(projectRoot, 'sql/engine/replica')).length,
  project: readdirSync(join(projectRoot, 'sql/replica')).length,
});

test('two that set up at once take turns', async () => {
  databases = await freshDatabases({ settle: false });
  await Promise.all([1, 2].map(() => setUp(databases!.config, testConfig(), quiet)));
  const [{ engine, project }] = (await databases.replicas[0]!`select
    (select count(*)::int from readback.engine_migrations where version > 0) as engine,
    (select count(*)::int from readback.migrations where version > 0) as project`) as any;
  expect({ engine, project }).toEqual(files());
});

test('a replica where nothing arrives is named, and the server serves from the primary until it is repaired', async () => {
  databases = await freshDatabases();
  const [primary, replica] = [databases.primary, databases.replicas[0]!];
  const id = crypto.randomUUID();
  await replica`insert into users select ${id}, 'theirs', 'x@example.com', null, null, true, true, now(), now()`;
  await primary`insert into users (id, username, email, password_hash) values (${id}, 'ours', 'x@example.com', '-')`;
  const said: string[] = [];
  await setUpToServe(databases.config, testConfig(), (line) => said.push(line), 1000);
  expect(said).toEqual([
    expect.stringMatching(
      /^replica-1 \(.*\): a heartbeat written on the primary did not arrive within 1000 ms\.[^]*doctor/,
    ),
  ]);
  const server = await startServer({ MONITOR_INTERVAL_MS: 100 }, databases);
  const strong = () => server.query(`{ user(id: "${id}") { username } }`, {}, { 'readback-consistency': 'strong' });
  expect(await strong()).toMatchObject({ data: { user: { username: 'ours' } }, readback: { source: 'primary' } });
  await replica`delete from users where id = ${id}`;
  await expect.poll(async () => (await strong()).readback.source).toBe('replica-1');
  expect(await strong()).toMatchObject({ data: { user: { username: 'ours' } } });
  await server.stop();
});

test('rows that are there already are copied, with no change logged for them', async () => {
  databases = await freshDatabases();
  const [primary, replica] = [databases.primary, databases.replicas[0]!];
  await replica`drop subscription readback`;
  await replica`delete from users`;
  await primary`insert into users (username, email, password_hash) select 'u' || n, n || '@example.com', '-' from generate_series(1, 20000) n`;
  const logged = await replica`select count(*) from readback.change_log`;
  await setUp(databases.config, testConfig(), quiet);
  expect(await replica`select count(*)::int from users`).toEqual([{ count: 20000 }]);
  expect(await replica`select count(*) from readback.change_log`).toEqual(logged);
});

describe('what the logs can be trusted with is noted', () => {
  const states = async () => {
    const rows = databases!.replicas.map(
      (replica) => replica`
        select log_id::text, pruned_to::text, complete_since::text, complete_since <= readback.seen() as reached,
               (select count(*)::int from readback.change_log where after_lsn < pruned_to) as pruned
        from readback.log_state`,
    );
    return (await Promise.all(rows)).map(([row]) => row!);
  };
  const write = () =>
    databases!
      .primary`insert into users (username, email, password_hash) select n, n || '@example.com', '-' from (select gen_random_uuid()::text as n) r`;

  test('of one position on, all replicas tell the same; a new log holds nothing before', async () => {
    databases = await freshDatabases({ replicas: 2 });
    const [one, two] = await states();
    expect(one!['complete_since']).toBe(two!['complete_since']);
    expect([one, two]).toMatchObject(
      [one, two].map((state) => ({ reached: true, pruned: 0, pruned_to: state!['complete_since'] })),
    );
    expect(one!['log_id']).not.toBe(two!['log_id']);
  });

  test('a replica that subscribes again has another log; the position moves on all of them', async () => {
    databases = await freshDatabases({ replicas: 2 });
    const [one, two] = await states();
    await write();
    await databases.replicas[1]!`drop subscription readback`;
    await write();
    await setUp(databases.config, testConfig(), quiet);
    const [first, second] = await states();
    expect(first).toMatchObject({ log_id: one!['log_id'], pruned_to: one!['pruned_to'], reached: true });
    expect(second!['log_id']).not.toBe(two!['log_id']);
    expect(second).toMatchObject({ pruned_to: second!['complete_since'], pruned: 0, reached: true });
    expect(first!['complete_since']).toBe(second!['complete_since']);
    expect(first!['complete_since']).not.toBe(one!['complete_since']);
  });

  test('a new table moves the position and keeps the logs', async () => {
    databases = await freshDatabases({ replicas: 2 });
    const before = await states();
    await write();
    const table = 'create table items (id uuid primary key);';
    const folder = sqlFolderWith({
      'primary/9004.do.items.sql': `${table} alter publication readback add table items;`,
      'replica/9004.do.items.sql': table,
    });
    await setUp(databases.config, testConfig(), quiet, folder);
    const after = await states();
    expect(after).toMatchObject(before.map(({ log_id, pruned_to }) => ({ log_id, pruned_to, reached: true })));
    expect(new Set(after.map(({ complete_since }) => complete_since)).size).toBe(1);
    expect(after[0]!['complete_since']).not.toBe(before[0]!['complete_since']);
    await setUp(databases.config, testConfig(), quiet, folder);
    expect(await states()).toEqual(after);
  });
});

test('a replica that joins later catches up number by number, while the others go on', async () => {
  databases = await freshDatabases({ replicas: 2, settle: false });
  const { config, primary, replicas } = databases;
  await setUp({ ...config, replicas: config.replicas.slice(0, 1) }, testConfig(), quiet);
  await primary`insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-')`;
  const said: string[] = [];
  await setUp(config, testConfig(), (line) => said.push(line));
  const { engine, project } = files();
  // Beside how far the copy is, where that takes more than a second.
  const applied = said.filter((line) => line.includes(': applied '));
  expect(applied.map((line) => line.split(' ')[0])).toEqual(
    Array.from({ length: engine + project }, () => 'replica-2:'),
  );
  expect(await replicas[1]!`select username from users`).toEqual([{ username: 'ada' }]);
});

test('a new table waits for a disabled subscription, and says so', async () => {
  databases = await freshDatabases();
  await databases.replicas[0]!`alter subscription readback disable`;
  const table = 'create table items (id uuid primary key);';
  const folder = sqlFolderWith({
    'primary/9004.do.items.sql': `${table} alter publication readback add table items;`,
    'replica/9004.do.items.sql': table,
  });
  const setUpAgain = () => setUp(databases!.config, testConfig(), quiet, folder);
  await expect(setUpAgain()).rejects.toThrow(/its subscription is disabled.*alter subscription readback enable/);
  await databases.replicas[0]!`alter subscription readback enable`;
  await setUpAgain();
});

test('another address of the primary is followed by the subscription', async () => {
  databases = await freshDatabases();
  const url = new URL(databases.config.primary.adminUrl);
  url.username = url.password = '';
  url.hostname = 'localhost';
  await setUp({ ...databases.config, replicationUrl: url.href }, testConfig(), quiet);
  const [{ subconninfo }] = (await databases.replicas[0]!`
    select subconninfo from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`) as [
    { subconninfo: string },
  ];
  expect(subconninfo).toContain("host='localhost'");
  expect(subconninfo).toMatch(/user='readback_[0-9a-f]{12}'/);
});

test('a slot that standbys do not keep becomes one that they do', async () => {
  databases = await freshDatabases();
  const replica = databases.replicas[0]!;
  await replica`alter subscription readback disable`;
  const withoutFailover = async () => (await replica`alter subscription readback set (failover = false)`).command;
  await expect.poll(() => withoutFailover().catch(() => 'in use'), { timeout: 10_000 }).toBe('ALTER SUBSCRIPTION');
  await replica`alter subscription readback enable`;
  await setUp(databases.config, testConfig(), quiet);
  const [slot] = (await replica`
    select subslotname, subenabled, subfailover from pg_subscription
    where subdbid = (select oid from pg_database where datname = current_database())`) as Record<string, unknown>[];
  expect(slot).toMatchObject({ subenabled: true, subfailover: true });
  expect(
    await databases.primary`select failover from pg_replication_slots where slot_name = ${slot!['subslotname'] as string}`,
  ).toEqual([{ failover: true }]);
});

describe('roles', () => {
  test('the writer owns nothing and cannot reach the hash; the reader cannot write', async () => {
    databases = await freshDatabases();
    const as = async (url: string, role: string, work: (sql: postgres.Sql) => Promise<unknown>) => {
      const sql = postgres(url, { max: 1, connection: { role }, onnotice: quiet });
      try {
        await work(sql);
        return 'allowed';
      } catch (error) {
        return (error as { code: string }).code;
      } finally {
        await sql.end();
      }
    };
    const { primary, replicas } = databases.config;
    const DENIED = '42501';
    expect(await as(primary.url, 'readback_writer', (sql) => sql`select username from users`)).toBe('allowed');
    expect(await as(primary.url, 'readback_writer', (sql) => sql`select password_hash from users`)).toBe(DENIED);
    expect(await as(primary.url, 'readback_writer', (sql) => sql`drop table users`)).toBe(DENIED);
    expect(await as(primary.url, 'readback_reader', (sql) => sql`delete from users`)).toBe(DENIED);
    expect(await as(replicas[0]!.url, 'readback_reader', (sql) => sql`select * from users`)).toBe('allowed');
    expect(await as(replicas[0]!.url, 'readback_reader', (sql) => sql`delete from users`)).toBe(DENIED);
    expect(await as(replicas[0]!.url, 'readback_reader', (sql) => sql`truncate readback.change_log`)).toBe(DENIED);
    expect(await as(replicas[0]!.url, 'readback_reader', (sql) => sql`select subconninfo from pg_subscription`)).toBe(
      DENIED,
    );
    expect(
      await databases.primary`select count(*)::int from pg_class where relowner::regrole::text like 'readback%'`,
    ).toEqual([{ count: 0 }]);
  });
});

describe('what is missing is said, with how to repair it', () => {
  const failure = async (change: (config: TestDatabases['config']) => TestDatabases['config']) => {
    databases = await freshDatabases({ settle: false });
    return setUp(change(databases.config), testConfig({ DB_CONNECT_TIMEOUT_MS: 1000 }), quiet).then(
      () => 'no error',
      (error: Error) => error.message,
    );
  };

  test('a server that does not answer', async () => {
    const url = 'postgres://nobody:secret@127.0.0.1:1/x';
    const message = await failure((config) => ({ ...config, replicas: [{ url, adminUrl: url }] }));
    expect(message).toMatch(/^replica-1 \(127\.0\.0\.1:1\/x\): cannot be used: .*ECONNREFUSED/);
    expect(message).not.toContain('secret');
  });

  test('the primary named as its own replica', async () => {
    expect(await failure((config) => ({ ...config, replicas: [config.primary] }))).toContain(
      'this is the same database as the primary',
    );
  });

  test('a login that may not set up', async () => {
    const message = await failure((config) => ({
      ...config,
      primary: { ...config.primary, adminUrl: config.primary.url },
    }));
    expect(message).toMatch(/^primary .*the login readback may not make roles and logins .*PRIMARY_ADMIN_URL/);
  });

  test('an address of the primary that the replica cannot reach', async () => {
    expect(await failure((config) => ({ ...config, replicationUrl: 'postgres://127.0.0.1:1/x' }))).toMatch(
      /cannot subscribe to the primary at 127\.0\.0\.1:1.*PRIMARY_REPLICATION_URL/,
    );
  });

  test('a table of the same name that is not ours: nothing is changed', async () => {
    databases = await freshDatabases({ settle: false });
    await databases.primary`create table users (id int)`;
    await expect(setUp(databases.config, testConfig(), quiet)).rejects.toThrow(
      /nothing was changed: 0002 users: relation "users" already exists\. On a replica rename or drop it/,
    );
    expect(await databases.primary`select to_regclass('readback.heartbeat') as heartbeat`).toEqual([
      { heartbeat: null },
    ]);
  });
});

describe('configuration', () => {
  const fault = (environment: Record<string, string>) => {
    try {
      return JSON.stringify(readConfig(environment).databases);
    } catch (error) {
      return (error as Error).message;
    }
  };

  test('every bad value gets a line', () => {
    expect(fault({ PORT: 'abc', HASH_CONCURRENCY: '0' }).split('\n')).toEqual([
      'PORT must be a whole number from 0 to 65535, got: abc',
      'HASH_CONCURRENCY must be a whole number from 1 to 64, got: 0',
    ]);
  });

  test('a URL that is none is refused without being shown', () => {
    expect(fault({ PRIMARY_URL: 'hunter2' })).toMatch(/^PRIMARY_URL must be a URL such as .*not shown/);
    expect(fault({ PRIMARY_URL: 'hunter2' })).not.toContain('hunter2');
  });

  test('one database without the other is an error, not a guess', () => {
    expect(fault({ READ_DB_HOST: 'db' })).toContain('set PRIMARY_URL (or WRITE_DB_HOST)');
    expect(fault({ PRIMARY_URL: 'postgres://a@b/c' })).toContain('set REPLICA_URLS (or READ_DB_HOST)');
    expect(fault({})).toBeUndefined();
  });

  test('URLs and passwords are read from files, if variables name them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'readback-secrets-'));
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const files = {
      PRIMARY_URL_FILE: file('primary', 'postgres://a:hunter2@b/c\n'),
      REPLICA_URLS_FILE: file('replicas', 'postgres://d@e/f,postgres://g@h/i'),
    };
    expect(readConfig(files).databases).toMatchObject({
      primary: { url: 'postgres://a:hunter2@b/c' },
      replicas: [{ url: 'postgres://d@e/f' }, { url: 'postgres://g@h/i' }],
    });
    const { databases } = readConfig({ WRITE_DB_HOST: 'b', READ_DB_HOST: 'e', DB_PASSWORD_FILE: file('word', 'p@ss') });
    expect(databases!.primary.url).toBe('postgres://postgres:p%40ss@b:5432/postgres');
    expect(fault({ ...files, PRIMARY_URL: 'postgres://a@b/c' })).toBe(
      'PRIMARY_URL and PRIMARY_URL_FILE are both set: leave one of them out.',
    );
    expect(fault({ PRIMARY_URL_FILE: '/nowhere', REPLICA_URLS_FILE: file('empty', '\n') }).split('\n')).toEqual([
      'PRIMARY_URL_FILE must name a file that can be read, got: /nowhere (ENOENT)',
      expect.stringMatching(/^REPLICA_URLS_FILE must name a file with REPLICA_URLS in it, got an empty one: /),
    ]);
    expect(fault({ ...files, PRIMARY_URL_FILE: file('wrong', 'hunter2') })).not.toContain('hunter2');
    rmSync(folder, { recursive: true });
  });

  test("the seed's variables make both URLs, and the URLs win over them", () => {
    const seed = {
      WRITE_DB_HOST: 'main',
      WRITE_DB_PORT: '6000',
      READ_DB_HOST: 'worker',
      READ_DB_PORT: '6001',
      DB_USER: 'pg',
      DB_PASSWORD: 'p@ss',
      DB_NAME: 'x',
    };
    expect(readConfig(seed).databases).toMatchObject({
      primary: { url: 'postgres://pg:p%40ss@main:6000/x' },
      replicas: [{ url: 'postgres://pg:p%40ss@worker:6001/x' }],
    });
    expect(
      readConfig({ ...seed, REPLICA_URLS: 'postgres://a@b/c, postgres://d@e/f' }).databases!.replicas,
    ).toHaveLength(2);
  });
});
