import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { CreateUserDocument } from '../../schema/generated/operations.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { disableSubscription, holdApply } from './support/faults.ts';
import * as migrating from './support/migrating.ts';
import { ALL, insertUser, PUBLISH, writers } from './support/migrating.ts';
import { startServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/** More than the suite's: MIGRATE_ROWS=1000000 npm test -- server/test/migrate.test.ts */
const ROWS = Number(process.env['MIGRATE_ROWS'] ?? 40_000);

/** Each test sets up a pair several times. */
vi.setConfig({ testTimeout: 60_000 });

let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
beforeEach(async () => {
  databases = await freshDatabases();
  primary = databases.primary;
  replica = databases.replicas[0]!;
});
afterEach(() => databases.drop());

const migrate = (files: Record<string, string>) => migrating.migrate(databases, files);
const refusal = (files: Record<string, string>) => migrating.refusal(databases, files);
const expectSame = (table: string, columns: string) => migrating.expectSame(databases, table, columns);

/** Follows the change log as the feed does: what it has read, in order. */
function logReader(): () => Promise<postgres.Row[]> {
  let stopped = false;
  const read: postgres.Row[] = [];
  const more = async () => {
    const { after_lsn = '0/0', seq = 0 } = read.at(-1) ?? {};
    const rows = await replica`
      select after_lsn::text, seq::int, operation, key, after from readback.change_log
      where (after_lsn, seq) > (${after_lsn}::pg_lsn, ${seq}) order by change_log.after_lsn, change_log.seq`;
    read.push(...rows);
    return rows.length;
  };
  const loop = (async () => {
    while (!stopped) if ((await more()) === 0) await sleep(5);
  })();
  return async () => {
    stopped = true;
    await loop;
    await more();
    return read;
  };
}

test('a column added while writers and a reader of the log are at work: nothing lost, nothing twice, no error', async () => {
  const stopReading = logReader();
  await insertUser(primary, 'w12');
  const stopWriting = writers((writer, round) => insertUser(primary, `w${writer}-${round}`));
  await sleep(200);
  const said = await migrate({
    'replica/9004.do.points.sql': 'alter table users add column points int not null default 7;',
    'primary/9004.do.points.sql': `alter table users add column points int not null default 7; ${PUBLISH('points')}`,
  });
  expect(said).toEqual(['replica-1: applied 9004 points', 'primary: applied 9004 points']);
  await primary`update users set points = 8 where username like '%1'`;
  await sleep(200);
  await stopWriting();
  await primary`update users set points = 9 where username like '%2'`;
  await expectSame('users', `${ALL}, points`);
  const read = await stopReading();
  const inserted = read.filter(({ operation }) => operation === 'INSERT').map(({ key }) => key);
  const keys = (await primary`select id from users`).map(({ id }) => id);
  expect(inserted).toHaveLength(keys.length);
  expect(new Set(inserted)).toEqual(new Set(keys));
  expect(read.at(-1)!['after'].points).toBe(9);
});

test('clients notice nothing of it: their writes, reads and subscriptions go on without an error', async () => {
  const server = await startServer({}, databases);
  onTestFinished(() => server.stop());
  const changes = subscribeTo<{ userChanged: { key: string } }>(
    server.websocket(),
    'subscription { userChanged { key user { isActive } } }',
  );
  const told = [changes.next()];
  await expect.poll(server.subscribers, { timeout: 20_000 }).toBe(1);
  const created: string[] = [];
  const stopWriting = writers(async (writer, round) => {
    const name = `w${writer}-${round}`;
    const input = { username: name, email: `${name}@example.com`, password: 'correct horse' };
    const { data, errors } = await server.query(CreateUserDocument, { input });
    expect(errors).toEqual([]);
    created.push(data.createUser.user.id);
    const text = '{ users(first: 3) { totalCount nodes { isActive posts { totalCount } } } }';
    const headers = { 'readback-bookmark': data.createUser.bookmark };
    expect((await server.query(text, {}, headers)).errors).toEqual([]);
  });
  await expect.poll(() => created.length, { timeout: 20_000 }).toBeGreaterThan(3);
  await migrate({
    'replica/9004.do.x.sql': 'alter table users add column points int not null default 7;',
    'primary/9004.do.x.sql': `alter table users add column points int not null default 7; ${PUBLISH('points')}`,
    'replica/9005.do.x.sql': 'alter table users alter column points type bigint;',
    'primary/9005.do.x.sql': `
      alter publication readback drop table users;
      alter table users alter column points type bigint;
      alter publication readback add table users (${ALL}, points);`,
    'primary/9006.do.x.sql': `
      alter publication readback drop table users;
      alter publication readback add table users (${ALL});
      alter table users drop column points;`,
    'replica/9007.do.x.sql': 'alter table users drop column points;',
  });
  await stopWriting();
  while (told.length < created.length) told.push(changes.next());
  const keys = (await Promise.all(told)).map(({ userChanged }) => userChanged.key);
  expect(new Set(keys)).toEqual(new Set(created));
});

test('a table with rows is brought under replication while it is written: the same on both sides, no copied row logged', async () => {
  await primary`create table items (id bigint primary key, owner int not null, note text)`;
  // In parts: whoever makes a slot on this server meanwhile waits for the transactions that are open.
  for (let from = 1; from <= ROWS; from += 10_000)
    await primary`
      insert into items select n, n % 100, 'note ' || n
      from generate_series(${from}::int, ${Math.min(ROWS, from + 9999)}::int) n`;
  await primary`analyze items`;
  const stopWriting = writers(async (writer, round) => {
    const id = 1 + ((writer * 7919 + round * 104_729) % ROWS);
    await primary`update items set note = note || '.' where id = ${id}`;
    await primary`insert into items values (${ROWS + 3 * round + writer + 1}, ${writer}, 'new')`;
    if (round % 5 === 0) await primary`delete from items where id = ${ROWS - 3 * round - writer}`;
  });
  await migrate({
    'replica/9004.do.items.sql': `
      create table items (id bigint primary key, owner int not null, note text);
      create index items_owner on items (owner, id);
      grant select on items to readback_reader;
      select readback.watch('items', 'id');`,
    'primary/9004.do.items.sql': `
      create index items_owner on items (owner, id);
      grant select on items to readback_reader, readback_writer;
      grant insert, update, delete on items to readback_writer;
      alter publication readback add table items;`,
  });
  await sleep(200);
  await stopWriting();
  await expectSame('items', 'id, owner, note');
  const [logged] = await replica`
    select count(*)::int as all, count(distinct (key, operation, after))::int as distinct,
           count(*) filter (where operation = 'INSERT' and key::bigint <= ${ROWS})::int as copied
    from readback.change_log where table_name = 'items'`;
  expect(logged).toEqual({ all: logged!['distinct'], distinct: logged!['distinct'], copied: 0 });
  expect(logged!['all']).toBeGreaterThan(0);
}, 180_000);

test('a column less takes two numbers, and one run: the primary stops sending it, then the replica lets go of it', async () => {
  const stopWriting = writers((writer, round) => insertUser(primary, `w${writer}-${round}`));
  const rest = ALL.replace('email_verified, ', '');
  const stopSending = `
    alter publication readback drop table users;
    alter publication readback add table users (${rest});
    alter table users drop column email_verified;`;
  expect(await refusal({ 'primary/9004.do.x.sql': stopSending })).toContain(
    'users.email_verified is not null without a default, and the primary does not send it: give it a default, or drop not null',
  );
  await migrate({
    'primary/9004.do.x.sql': stopSending,
    'replica/9004.do.x.sql': 'alter table users alter column email_verified drop not null;',
    'replica/9005.do.x.sql': 'alter table users drop column email_verified;',
  });
  await sleep(100);
  await stopWriting();
  await expectSame('users', rest);
  expect(await replica`select email_verified from users limit 1`.catch((error: Error) => error.message)).toContain(
    'column "email_verified" does not exist',
  );
});

test('a table less takes two numbers, and one run', async () => {
  await migrate({
    'primary/9004.do.no-posts.sql': 'alter publication readback drop table posts; drop table posts;',
    'replica/9005.do.no-posts.sql': 'drop table posts;',
  });
  await insertUser(primary, 'ada');
  await expectSame('users', ALL);
  expect(await replica`select * from readback.feed_faults()`).toEqual([]);
});

test('types made wider, an enum among them, while they are written: the replica is the first that takes more', async () => {
  const table = `
    create type mood as enum ('calm');
    create table items (id int primary key, mood mood not null, note varchar(10));
    grant select on items to readback_reader;`;
  const wider = `
    alter type mood add value 'elated';
    alter table items alter column note type text, alter column id type bigint;`;
  const numbered = (number: string, onPrimary: string, onReplica: string) => ({
    [`primary/${number}.do.items.sql`]: onPrimary,
    [`replica/${number}.do.items.sql`]: onReplica,
  });
  const first = numbered('9004', `${table} alter publication readback add table items;`, table);
  await migrate(first);
  const stopWriting = writers(
    (writer, round) => primary`insert into items values (${3 * round + writer}, 'calm', 'short')`,
  );
  await migrate({ ...first, ...numbered('9005', wider, wider) });
  await stopWriting();
  await primary`insert into items values (5000000000, 'elated', 'a longer note')`;
  await expectSame('items', 'id, mood, note');
  const narrower = numbered('9006', 'select 1;', `alter table items alter column note type varchar(20);`);
  expect(await refusal({ ...first, ...numbered('9005', wider, wider), ...narrower })).toContain(
    'items.note is character varying(20), which does not take every text',
  );
});

test('what a replica has yet to apply may need the column: it is not dropped before that', async () => {
  await migrate({
    'primary/9004.do.x.sql': `
      alter publication readback drop table users;
      alter publication readback add table users (${ALL.replace('last_name, ', '')});`,
  });
  const enable = await disableSubscription(replica);
  const drop = { 'replica/9005.do.x.sql': 'alter table users drop column last_name;' };
  expect(await refusal({ ...drop, 'primary/9004.do.x.sql': '-- changed' })).toContain('MD5 checksum failed');
  const files = {
    ...drop,
    'primary/9004.do.x.sql': `
      alter publication readback drop table users;
      alter publication readback add table users (${ALL.replace('last_name, ', '')});`,
  };
  expect(await refusal(files)).toContain('wait until it has, or enable its subscription, and run this again');
  await enable();
  await migrate(files);
  await insertUser(primary, 'ada');
  await expectSame('users', ALL.replace('last_name, ', ''));
});

test('a lock that somebody holds for a while is waited for, without holding up everybody else', async () => {
  const release = await holdApply(replica);
  const migrated = migrate({ 'replica/9004.do.x.sql': 'alter table users add column extra text;' });
  await sleep(3000);
  await release();
  expect(await migrated).toEqual(['replica-1: applied 9004 x']);
});

test('a number below those applied is refused: nothing would ever apply it', async () => {
  await migrate({ 'replica/9005.do.x.sql': 'select 1;' });
  expect(await refusal({ 'replica/9004.do.late.sql': 'select 1;', 'replica/9005.do.x.sql': 'select 1;' })).toContain(
    'replica-1 has applied up to 9005, and never 9004 late: give it a number above 9005',
  );
});

/** Of Readback's own files, those that came after the first releases. */
const SINCE = [
  'replica-1: applied engine 0021 keys',
  'primary: applied engine 0021 partitions',
  'replica-1: applied engine 0022 origin',
  'primary: applied engine 0022 timelines',
  'primary: applied engine 0027 known-tables',
  'replica-1: applied engine 0028 copied-partitions',
  'primary: applied engine 0028 seen-partitions',
  'replica-1: applied engine 0029 subscriptions',
  'replica-1: applied engine 0030 truncated',
  'replica-1: applied engine 0031 json',
  'replica-1: applied engine 0032 places',
  'replica-1: applied engine 0033 sessions',
];

describe('one table of versions, as the first releases had it, becomes two', () => {
  /** By their numbers, the checksums of files which were Readback's and the project's at once. */
  const EARLIER: Record<number, string> = {
    2: '134d408d511db0affac67870ec888f23',
    10: 'e0a9d2f0de38132a32f4f4d4e94e8349',
    20: 'f3d5b57c09d3c333c951b3ce9437543e',
  };

  const versions = (sql: postgres.Sql) => sql`
    select 'engine' as series, version::int, name, md5 from readback.engine_migrations where version > 0 union all
    select 'project', version::int, name, md5 from readback.migrations where version > 0 order by 1, 2`;

  async function asEarlier(): Promise<void> {
    for (const sql of [primary, replica])
      await sql.begin((one) => [
        one`insert into readback.migrations select * from readback.engine_migrations where version <= 20 on conflict do nothing`,
        one`drop table readback.engine_migrations`,
      ]);
    for (const [version, md5] of Object.entries(EARLIER))
      await primary`update readback.migrations set md5 = ${md5} where version = ${version}`;
  }

  test('nothing is applied or copied again, and later numbers go on', async () => {
    await insertUser(primary, 'ada');
    const state = async () => [
      (await versions(primary)).map(({ series, version, md5 }) => [series, version, md5]),
      await versions(replica),
      await replica`select srrelid::regclass::text, srsublsn from pg_subscription_rel order by 1`,
    ];
    const before = await state();
    await asEarlier();
    expect(await migrate({})).toEqual(SINCE);
    expect(await state()).toEqual(before);
    const files = { 'primary/0021.do.x.sql': 'select 1;', 'replica/0021.do.x.sql': 'select 1;' };
    expect(await migrate(files)).toEqual(['replica-1: applied 0021 x', 'primary: applied 0021 x']);
    await expectSame('users', ALL);
  });

  test('a file that was edited before is told, whichever series it is of', async () => {
    for (const version of [2, 15, 20]) {
      await asEarlier();
      const [row] = await primary`select md5 from readback.migrations where version = ${version}`;
      await primary`update readback.migrations set md5 = 'edited' where version = ${version}`;
      expect(await refusal({})).toContain(`MD5 checksum failed for migration [${version}]`);
      await asEarlier();
      await primary`update readback.migrations set md5 = ${row!['md5']} where version = ${version}`;
      expect(await migrate({})).toEqual(SINCE);
    }
  });
});

test('Readback and the project have numbers of their own', async () => {
  const files = { 'engine/primary/9001.do.ours.sql': 'select 1;', 'primary/9000.do.theirs.sql': 'select 1;' };
  expect(await migrate(files)).toEqual(['primary: applied engine 9001 ours', 'primary: applied 9000 theirs']);
  expect(await migrate(files)).toEqual([]);
});
