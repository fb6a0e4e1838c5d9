import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChangesDocument, MeDocument, PostsDocument, SignInDocument } from '../../schema/generated/operations.ts';
import { setUp } from '../setup/setup.ts';
import { testConfig, type TestDatabases } from './support/databases.ts';
import { faults } from './support/doctor.ts';
import { restoreEarlier, type Held } from './support/earlier.ts';
import { PASSWORD, startProtected } from './support/people.ts';
import type { TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/** A pair that the first release has set up is set up by this one. */
let databases: TestDatabases;
let held: Held;
let server: TestServer;
let before: Awaited<ReturnType<typeof stateOf>>;

/** What would be another one if anything were copied again; a row's xmin is of the transaction that wrote it. */
async function stateOf({ primary, replicas: [replica] }: TestDatabases) {
  return {
    rows: await replica!`select id, xmin::text, to_jsonb(u) as row from users u order by id`,
    posts: await replica!`select id, xmin::text, to_jsonb(p) as row from posts p order by id`,
    tables: await replica!`
      select srrelid::regclass::text as table, srsubstate::text as state, srsublsn::text as since from pg_subscription_rel
      join pg_subscription s on s.oid = srsubid and subdbid = (select oid from pg_database where datname = current_database()) order by 1`,
    changes: await replica!`select after_lsn::text, seq, xmin::text from readback.change_log order by after_lsn, seq`,
    log: await replica!`select log_id::text, pruned_to::text, complete_since::text from readback.log_state`,
    slots: await primary`select slot_name::text from pg_replication_slots where database = current_database()`,
    passwords: await primary`select username, password_hash from users order by 1`,
  };
}

const migrate = async () => {
  const lines: string[] = [];
  await setUp(databases.config, testConfig(), (line) => lines.push(line));
  return lines;
};

beforeAll(async () => {
  ({ databases, held } = await restoreEarlier());
  before = await stateOf(databases);
  expect((await migrate()).length).toBeGreaterThan(0);
  server = await startProtected({ MONITOR_INTERVAL_MS: 100 }, databases);
});
afterAll(async () => {
  await server?.stop();
  await databases?.drop();
});

test('nothing is copied again, the log goes on, and a second set-up changes nothing', async () => {
  expect(before.rows).toHaveLength(2);
  expect(before.changes).toHaveLength(10);
  expect(await stateOf(databases)).toEqual(before);
  expect(await migrate()).toEqual([]);
  expect(await stateOf(databases)).toEqual(before);
});

test('the doctor finds no fault, and what the replica confirms is on its disk from now on', async () => {
  expect(await faults(databases.config)).toEqual([]);
  const [{ commit }] = (await databases.replicas[0]!`
    select subsynccommit as commit from pg_subscription
    where subdbid = (select oid from pg_database where datname = current_database())`) as unknown as [
    { commit: string },
  ];
  expect(commit).toBe('local');
});

test('an earlier token is good, and reads with an earlier bookmark come from the replica', async () => {
  const headers = { authorization: `Bearer ${held.token}`, 'readback-bookmark': held.bookmark };
  const me = await server.query(MeDocument, {}, headers);
  expect(me.errors).toEqual([]);
  expect(me.data.me).toMatchObject({ username: 'ada', lastName: 'King' });
  const posts = await server.query(PostsDocument, { orderBy: { field: 'TITLE', direction: 'ASC' } } as never, headers);
  expect(posts.errors).toEqual([]);
  expect(posts.data.posts.nodes.map(({ title }) => title)).toEqual(['First', 'Fourth', 'Third']);
  expect(posts.readback).toMatchObject({ source: 'replica-1' });
});

test('an earlier cursor goes on with the changes after it, each once, and with what is written now', async () => {
  const { data } = await server.query(SignInDocument, { login: 'operator', password: PASSWORD });
  const events = subscribeTo(server.websocket(data.signIn.token), ChangesDocument, { after: held.cursor });
  const next = async () => {
    const { changes } = await events.next();
    if (changes.__typename === 'CaughtUp') return 'caught up';
    if (changes.__typename === 'PostChange')
      return `${changes.operation} ${(changes.post ?? changes.postBefore)!.title}`;
    if (changes.__typename === 'UserChange')
      return `${changes.operation} ${changes.before?.lastName} ${changes.user?.lastName}`;
    return changes.__typename;
  };
  const seen = [];
  for (let left = 5; left > 0; left--) seen.push(await next());
  expect(seen).toEqual(['INSERT Fourth', 'UPDATE Lovelace King', 'UPDATE First', 'DELETE Second', 'caught up']);
  await databases.primary`
    insert into posts (author_id, title, body) select id, 'Fifth', '' from users where username = 'ada'`;
  expect(await next()).toBe('INSERT Fifth');
  await events.end();
});
