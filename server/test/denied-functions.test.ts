import type postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UpdateUserDocument } from '../../schema/generated/operations.ts';
import { CALLED_IN_WORKER } from '../database/sql/denied.ts';
import { setUp } from '../setup/setup.ts';
import { testConfig, type TestDatabases } from './support/databases.ts';
import { examine } from './support/doctor.ts';
import { migrated } from './support/managed.ts';
import { manage, MODELS, type Managed } from './support/models.ts';
import { startServer, type TestServer } from './support/server.ts';
import { ownServers, type OwnServers } from './support/standby.ts';

/** A function that Readback's own call, and that somebody has taken away on a running pair. */
const SLOW = { timeout: 120_000 };
const WITHIN = { timeout: 30_000, interval: 20 };

type Side = 'primary' | 'replica';

/** What the functions below call of PostgreSQL's that says or changes how a server stands, and who may by what grant. */
const CALLED: [side: Side, name: string, whom: string][] = [
  ['primary', 'current_database()', 'public'],
  ['primary', 'pg_control_system()', 'public'],
  ['primary', 'pg_current_wal_flush_lsn()', 'public'],
  ['primary', 'pg_get_replication_slots()', 'public'],
  ['primary', 'pg_wal_lsn_diff(pg_lsn, pg_lsn)', 'public'],
  ['primary', 'pg_walfile_name(pg_lsn)', 'public'],
  ['primary', 'readback.identity()', 'readback_reader'],
  ['primary', 'readback.slots()', 'readback_reader'],
  ['replica', 'clock_timestamp()', 'public'],
  ['replica', 'current_database()', 'public'],
  ['replica', 'current_setting(text, boolean)', 'public'],
  ['replica', 'has_function_privilege(oid, text)', 'public'],
  ['replica', 'pg_backend_pid()', 'public'],
  ['replica', 'pg_has_role(name, text)', 'public'],
  ['replica', 'pg_has_role(oid, text)', 'public'],
  ['replica', 'pg_notify(text, text)', 'public'],
  ['replica', 'pg_show_replication_origin_status()', 'owner'],
  ['replica', 'pg_stat_get_activity(integer)', 'public'],
  ['replica', 'pg_stat_get_subscription(oid)', 'public'],
  ['replica', 'readback.logs_changes()', 'owner'],
  ['replica', 'readback.position()', 'readback_reader'],
  ['replica', 'readback.seen()', 'owner'],
  ['replica', 'set_config(text, text, boolean)', 'public'],
];

/** Called when a server starts, and when the timeline is another one. */
const AT_START: [name: string, whom: string][] = [
  ['has_function_privilege(oid, text)', 'public'],
  ['readback.timelines()', 'readback_reader'],
];

/** Each is asked for by `has_function_privilege` before it is called: models have them or not. */
const ASKED_FOR = ['pg_read_file', 'pg_replication_origin_progress', 'pg_replication_origin_session_progress'];

/** They compute from what they are given. Taken away, no statement of anybody works, of PostgreSQL's own views to begin with. */
const VALUES = new Set([
  'array_position',
  'array_to_json',
  'cardinality',
  'count',
  'format',
  'jsonb_build_object',
  'left',
  'regexp_match',
  'regexp_split_to_table',
  'to_jsonb',
  'unnest',
]);

const BEGUN: Record<Side, string[]> = {
  primary: ['identity', 'seen', 'slots', 'timelines'],
  replica: ['position', 'seen', 'log_change'],
};

let servers: OwnServers;
let managed: Managed;
let server: TestServer;
let id: string;
const lines: string[] = [];
beforeAll(async () => {
  servers = await ownServers(['primary', 'replica'], { max_sync_workers_per_subscription: '8' });
  managed = await manage(servers, { ...MODELS.M3, name: 'called' });
  await migrated(managed.config);
  const [row] = await managed.primary<[{ id: string }]>`
    insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-') returning id`;
  ({ id } = row);
  const options = { LOG_LEVEL: 'warn', MONITOR_INTERVAL_MS: 50, SLOT_WATCH_MS: 100 } as const;
  server = await startServer(options, given(), {
    write: (line) => lines.push(line),
  });
}, SLOW.timeout);
afterAll(async () => {
  await server?.stop();
  await managed?.end();
  await servers?.end();
}, SLOW.timeout);

const given = () => ({ config: managed.config }) as TestDatabases;
const health = async () => (await server.rest('GET', '/health')).body;
const write = (firstName: string) => server.query(UpdateUserDocument, { id, input: { firstName } });

async function isWell(): Promise<void> {
  await expect.poll(async () => (await health()).status, WITHIN).toBe('healthy');
  await expect.poll(async () => (await health()).feed.phase, WITHIN).toBe('LIVE');
}

test('every function that they call is tried here, or computes alone', async () => {
  for (const side of ['primary', 'replica'] as const) {
    const called = await calledBy(managed[side], BEGUN[side]);
    const atStart = side === 'primary' ? AT_START : [];
    const names = [
      ...CALLED.filter(([where]) => where === side).map(([, name]) => name),
      ...atStart.map(([name]) => name),
    ];
    const tried = names.map((name) => name.replace(/\(.*/, ''));
    expect(called.filter((name) => !VALUES.has(name) && !ASKED_FOR.includes(name)).toSorted()).toEqual(
      [...new Set(tried)].filter((name) => !name.startsWith('readback.')).toSorted(),
    );
  }
  const worker = (await calledBy(managed.replica, ['log_change'])).filter((name) => !VALUES.has(name));
  expect(CALLED_IN_WORKER.map((name) => name.replace(/\(.*/, ''))).toEqual(
    worker.filter((name) => !ASKED_FOR.includes(name)).toSorted(),
  );
});

/** PostgreSQL's functions that the bodies of these name, and those of Readback's own that they call, and the views in them. */
async function calledBy(sql: postgres.Sql, begun: string[]): Promise<string[]> {
  const own = new Map(
    (
      await sql<{ name: string; body: string }[]>`
      select proname::text as name, string_agg(prosrc, ' ') as body from pg_proc where pronamespace = 'readback'::regnamespace group by 1`
    ).map(({ name, body }) => [name, body] as const),
  );
  const bodies = new Map<string, string>();
  const add = (name: string) => {
    const body = own.get(name);
    if (body === undefined || bodies.has(name)) return;
    bodies.set(name, body.replace(/--.*|'[^']*'/g, ''));
    for (const [, next] of bodies.get(name)!.matchAll(/readback\.(\w+)\(/g)) add(next!);
  };
  begun.forEach(add);
  const views = await sql<{ body: string }[]>`
    select pg_get_viewdef(c.oid) as body from pg_class c where relkind = 'v' and relnamespace = 'pg_catalog'::regnamespace
      and ${[...bodies.values()].join(' ')} ~ ('(from|join) ' || relname || '\\M')`;
  const defaults = begun.includes('log_change')
    ? await sql<{ body: string }[]>`select pg_get_expr(adbin, adrelid) as body from pg_attrdef
        where adrelid in ('readback.change_log'::regclass, 'readback.worker_lives'::regclass)`
    : [];
  const text = [...bodies.values(), ...[...views, ...defaults].map(({ body }) => body)].join(' ');
  const names = [...new Set([...text.matchAll(/(?<![.\w])(\w+)\(/g)].map(([, name]) => name!))];
  const known = await sql<{ name: string }[]>`
    select distinct proname::text as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace
      and proname = any(${names}) and not exists (select from pg_type t where t.typname = proname)`;
  return known.map(({ name }) => name);
}

const wordsOf = (name: string) => `permission denied for function ${name.replace(/^readback\.|\(.*/g, '')}`;

for (const [side, name, whom] of CALLED)
  test(`health and one warning name it, and no bookmark is empty: ${name} on the ${side}`, SLOW, async () => {
    const words = wordsOf(name);
    await isWell();
    const told = () => lines.filter((line) => line.includes(words)).length;
    // The same words again within a minute, of a function with other arguments, are not written again.
    const once = Math.max(1, told());
    await managed[side].unsafe(`revoke execute on function ${name} from ${whom}`);
    try {
      if (side === 'replica') await managed.primary`update users set first_name = ${name}`;
      await expect.poll(async () => JSON.stringify(await health()), WITHIN).toContain(words);
      expect((await health()).status).not.toBe('healthy');
      const { data, errors } = await write(name);
      expect(errors[0]?.extensions.code ?? data.updateUser.bookmark).toMatch(/^(PRIMARY_UNAVAILABLE|.{28})$/);
      await expect.poll(told, WITHIN).toBe(once);
    } finally {
      await managed[side].unsafe(`grant execute on function ${name} to ${whom}`);
    }
    await isWell();
    await write(`${name} again`);
    const there = () => managed.replica`select first_name from users`;
    await expect.poll(there, WITHIN).toEqual([{ first_name: `${name} again` }]);
    expect(told()).toBe(once);
  });

for (const [name, whom] of AT_START)
  test(`a server that starts without it says so once, and its bookmarks are whole: ${name}`, SLOW, async () => {
    const words = wordsOf(name);
    const own: string[] = [];
    await managed.primary.unsafe(`revoke execute on function ${name} from ${whom}`);
    const options = { LOG_LEVEL: 'warn', MONITOR_INTERVAL_MS: 50 } as const;
    const started = await startServer(options, given(), { write: (line) => own.push(line) });
    try {
      const { status, message } = (await started.rest('GET', '/health')).body;
      expect([status, message]).toEqual(['degraded', expect.stringContaining(words)]);
      const { data } = await started.query(UpdateUserDocument, { id, input: { firstName: name } });
      expect(data.updateUser.bookmark).toHaveLength(28);
      expect(own.filter((line) => line.includes(words))).toHaveLength(1);
    } finally {
      await started.stop();
      await managed.primary.unsafe(`grant execute on function ${name} to ${whom}`);
    }
  });

test(
  'set-up and the doctor name what the apply worker may not call, with the statement that gives it back',
  SLOW,
  async () => {
    await isWell();
    await managed.replica`revoke execute on function pg_notify(text, text) from public`;
    const findings = await examine(managed.config);
    const failure = setUp(managed.config, testConfig(), () => {}, undefined, 500).catch(
      (error: Error) => error.message,
    );
    expect(await failure).toContain('Its apply worker fails: permission denied for function pg_notify.');
    await managed.replica`grant execute on function pg_notify(text, text) to public`;
    expect(findings).toContainEqual(
      expect.objectContaining({
        check: 'apply-denied',
        server: 'replica-1',
        found: expect.stringContaining('permission denied for function pg_notify'),
        remedy: expect.stringContaining('as a superuser: grant execute on function pg_notify(text,text) to owner;'),
      }),
    );
  },
);
