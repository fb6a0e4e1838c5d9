import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { faults } from './support/doctor.ts';
import { startServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/** SUBSCRIPTIONS=awaited, where what makes the subscription does so before set-up, or in its own way. */
const SLOW = { timeout: 60_000 };
let databases: TestDatabases;
let login: string;
let slot: string;
beforeEach(async () => {
  databases = await freshDatabases({ settle: false });
  slot = `readback_${databases.name}`;
  login = `replicator_${databases.name}`;
  await databases.primary.unsafe(`create role ${login} login replication password 'secret'`);
});
afterEach(async () => {
  await unsubscribe();
  await databases.drop();
});

async function unsubscribe(): Promise<void> {
  const replica = databases.replicas[0]!;
  await replica`alter subscription readback disable`;
  await replica`alter subscription readback set (slot_name = none)`;
  await replica`drop subscription readback`;
  await databases.primary`
    select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = ${slot}`;
  await databases.primary`
    select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${slot}`;
}

async function subscribe(options = '', publication = 'readback'): Promise<void> {
  const { hosts, database } = parseDatabaseUrl(databases.config.primary.adminUrl);
  await databases.replicas[0]!.unsafe(
    `create subscription readback connection 'host=${hosts[0]!.host} port=${hosts[0]!.port} dbname=${database} user=${login} password=secret'
     publication ${publication} with (slot_name = '${slot}', streaming = on${options})`,
  );
}

function migrate(said: (line: string) => void = () => {}): Promise<void> {
  const { adminUrl } = databases.config.primary;
  const replicationUrl = formatDatabaseUrl({ ...parseDatabaseUrl(adminUrl), user: login, password: '' });
  return setUp({ ...databases.config, replicationUrl }, testConfig({ SUBSCRIPTIONS: 'awaited' }), said);
}

test('one that was made before the publication begins to copy when there is something to', SLOW, async () => {
  await subscribe();
  const lines: string[] = [];
  await migrate((line) => lines.push(line));
  expect(lines.join('\n')).not.toContain('waiting for the subscription');
  await databases.primary`insert into users (username, email, password_hash) values ('a', 'a@example.com', '-')`;
  const arrived = () => databases.replicas[0]!`select username from users`;
  await expect.poll(arrived, { timeout: 20_000 }).toEqual([{ username: 'a' }]);
  expect(await faults(databases.config)).toEqual([]);
});

test.each([
  ['to another publication', '', 'theirs', /^replica-1 \(.*its subscription readback is to theirs, and must be to/],
  [
    'disabled',
    ', enabled = false',
    'readback',
    /^replica-1 \(.*its subscription is disabled.*alter subscription readback enable/,
  ],
  ['made without its slot', ', connect = false', 'readback', /^replica-1 \(.*(is disabled|is not on the primary)/],
])(
  'one that cannot be gone on with is named at once, with the remedy: %s',
  SLOW,
  async (_, options, publication, said) => {
    await subscribe(options, publication);
    await expect(migrate()).rejects.toThrow(said);
  },
);

test('one whose slot is gone is named at once', SLOW, async () => {
  const replica = databases.replicas[0]!;
  await subscribe(', connect = false');
  await replica`alter subscription readback enable`;
  await expect(migrate()).rejects.toThrow(new RegExp(`its slot ${slot} is not on the primary. Drop it there`));
});

test.each([
  ['while set-up waits', true],
  ['before set-up', false],
])(
  'one that is made again copies what no log has: cursors from before are refused (%s)',
  SLOW,
  async (_, isAwaited) => {
    const [replica] = databases.replicas;
    await subscribe();
    await migrate();
    const first = await startServer({}, databases);
    const cursors = 'subscription ($after: Cursor) { changes(after: $after) { ... on CaughtUp { cursor } } }';
    const { cursor } = (await subscribeTo<any>(first.websocket(), cursors).next()).changes;
    await first.stop();

    await unsubscribe();
    await databases.primary`insert into users (username, email, password_hash) values ('a', 'a@example.com', '-')`;
    await replica!`truncate users, posts, readback.heartbeat`;
    if (!isAwaited) await subscribe();
    const waits = Promise.withResolvers<void>();
    const again = migrate((line) => (line.includes('waiting for the subscription') ? waits.resolve() : undefined));
    if (isAwaited) await waits.promise.then(() => subscribe());
    await again;
    expect(await replica!`select username from users`).toEqual([{ username: 'a' }]);
    const next = await startServer({}, databases);
    onTestFinished(() => next.stop());
    const [error] = await subscribeTo(next.websocket(), cursors, { after: cursor }).failure();
    expect(error!.extensions.code).toBe('CURSOR_EXPIRED');
  },
);

test(
  'GUARANTEE a server that runs tells no change of a subscription that was made again, until set-up has seen to it',
  SLOW,
  async () => {
    await subscribe();
    await migrate();
    const server = await startServer({ MONITOR_INTERVAL_MS: 100 }, databases);
    onTestFinished(() => server.stop());
    const events = subscribeTo<any>(
      server.websocket(),
      'subscription { changes { __typename ... on UserChange { user { username } } } }',
    );
    expect((await events.next()).changes.__typename).toBe('CaughtUp');
    const told: unknown[] = [];
    const ended = (async () => {
      for (;;) told.push((await events.next()).changes);
    })().catch((error: unknown) => JSON.stringify(error));
    const add = (name: string) =>
      databases.primary`insert into users (username, email, password_hash) values (${name}, ${name}, '-')`;

    await unsubscribe();
    await add('between');
    await databases.replicas[0]!`truncate users, posts, readback.heartbeat`;
    await subscribe(', synchronous_commit = local');
    await expect.poll(() => databases.replicas[0]!`select username from users`, { timeout: 20_000 }).toHaveLength(1);
    await add('after');
    await expect.poll(() => databases.replicas[0]!`select username from users`, { timeout: 20_000 }).toHaveLength(2);
    const feed = async () => JSON.stringify((await server.rest('GET', '/health')).body.feed);
    await expect.poll(feed, { timeout: 20_000 }).toContain('the subscription was made again');
    expect(await faults(databases.config)).toContain('replica-1 log-not-ready');
    await migrate();
    expect(await ended).toContain('CURSOR_EXPIRED');
    expect(told.filter((change: any) => change.__typename === 'UserChange')).toEqual([]);
    expect(await faults(databases.config)).toEqual([]);
  },
);
