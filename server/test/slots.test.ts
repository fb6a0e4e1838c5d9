import type postgres from 'postgres';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { CreateUserDocument, ReplicationDocument, UserDocument } from '../../schema/generated/operations.ts';
import { withServers } from '../setup/servers.ts';
import { verify } from '../operate/verify/verify.ts';
import { startCluster, type OwnCluster } from './support/cluster.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine, faults, fixAll } from './support/doctor.ts';
import { disableSubscription, dropSlot, pauseWorker, slotOf } from './support/faults.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/** Settings and WAL of a whole primary: a cluster of its own. */
let cluster: OwnCluster;
let databases: TestDatabases;
let servers: TestServer[] = [];
/** Of what a test has under way. They come first: a replica that is paused holds up all that follows. */
let endings: (() => unknown)[] = [];
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster.stop());
afterEach(async () => {
  for (const end of endings) await end();
  endings = [];
  for (const server of servers) await server.stop();
  servers = [];
  await databases.primary`alter system reset all`;
  await databases.primary`select pg_reload_conf()`;
  await databases.drop();
});

const WITHIN = { timeout: 20_000, interval: 20 };
const MIB = 1_048_576;
const SETTINGS = { MONITOR_INTERVAL_MS: 50, SLOT_WATCH_MS: 100, BOOKMARK_WAIT_MS: 100, REPLICA_MAX_LAG_MS: 2000 };

/** A server, and what it logs. */
async function start(overrides: Parameters<typeof startServer>[0] = {}) {
  const lines: { msg: string; slot?: string; condition?: string; heldBytes?: number }[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const server = await startServer({ ...SETTINGS, LOG_LEVEL: 'info', ...overrides }, databases, { write });
  servers.push(server);
  const replicas = async () => (await server.query(ReplicationDocument)).data.replication.replicas;
  const state = async (index = 0) => (await replicas())[index]!.state;
  const logged = (text: string) => lines.filter(({ msg }) => msg.includes(text)).length;
  /** What it has said of how a slot is, in order. */
  const told = (name: string) => lines.filter(({ slot, condition }) => slot === name && condition !== undefined);
  return { ...server, replicas, state, logged, told };
}

type Started = Awaited<ReturnType<typeof start>>;

let serial = 0;
async function create(server: TestServer) {
  const username = `user-${++serial}`;
  const input = { username, email: `${username}@example.com`, password: 'correct horse' };
  const { data, errors } = await server.query(CreateUserDocument, { input });
  expect(errors).toEqual([]);
  return data.createUser;
}

/** What the replica has yet to confirm, in bytes. */
async function owed(slot: string): Promise<number> {
  const [row] = await databases.primary`
    select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn)::float as owed
    from pg_replication_slots where slot_name = ${slot}`;
  return row!['owed'] as number;
}

/** Where it waits for changes: anywhere else it may hold what the replica's reads need. */
async function pauseAtRest(replica: postgres.Sql): Promise<() => void> {
  for (;;) {
    const go = await pauseWorker(replica);
    const [row] = await replica`
      select wait_event from pg_stat_activity a join pg_stat_subscription s using (pid)
      where a.datname = current_database() and s.relid is null`;
    if (row?.['wait_event'] === 'LogicalApplyMain') return go;
    go();
  }
}

/** Segments of 16 MiB, mostly empty: what a slot keeps grows, and nothing is written. */
async function fillWal(primary: postgres.Sql, mib: number): Promise<void> {
  for (let n = 0; n < mib / 16; n++) {
    await primary`select pg_logical_emit_message(true, 'fill', 'x')`;
    await primary`select pg_switch_wal()`;
  }
}

async function expectSame(): Promise<void> {
  const options = { chunkRows: 1000, most: 10, timeoutMs: 10_000 };
  const report = await withServers(databases.config, testConfig(), 'test', (all) => verify(all, [], options, () => {}));
  expect(report.isSame).toBe(true);
}

/** Writes, and reads each write back, until told to end; what was read stale. */
function readBack(server: Started) {
  let isOver = false;
  const stale: string[] = [];
  let reads = 0;
  const work = (async () => {
    while (!isOver) {
      const { user, bookmark } = await create(server);
      const { data, errors } = await server.query(UserDocument, { id: user.id }, { 'readback-bookmark': bookmark });
      if (errors.length > 0 || data.user?.username !== user.username) stale.push(JSON.stringify({ data, errors }));
      reads++;
    }
  })();
  endings.push(() => ((isOver = true), work.catch(() => {})));
  return {
    end: async () => {
      isOver = true;
      await work;
      expect(reads).toBeGreaterThan(5);
      expect(stale).toEqual([]);
    },
  };
}

const CHANGES = `subscription ($after: Cursor, $snapshot: Boolean!) {
  changes(tables: ["users"], after: $after, snapshot: $snapshot) {
    __typename ... on CaughtUp { cursor } ... on UserChange { cursor key } ... on SnapshotRow { key } } }`;

interface Changes {
  changes: { __typename: string; cursor: string; key: string };
}

const changes = (server: TestServer, variables: { after?: string; snapshot: boolean }) =>
  subscribeTo<Changes>(server.websocket(), CHANGES, variables);

async function nextChange(events: ReturnType<typeof changes>) {
  for (;;) {
    const { changes: event } = await events.next();
    if (event.__typename === 'UserChange') return event;
  }
}

test(
  'a replica that reads and applies nothing is warned of, then its slot is given up once by two servers; the other one stays',
  { timeout: 60_000 },
  async () => {
    databases = await freshDatabases({ cluster, replicas: 2 });
    const [replica] = databases.replicas as [postgres.Sql, postgres.Sql];
    const limits = { SLOT_WAL_WARN_BYTES: 32 * MIB, SLOT_WAL_MAX_BYTES: 80 * MIB, SLOT_ACTION: 'drop' } as const;
    const [one, two] = [await start(limits), await start(limits)];
    const events = changes(one, { snapshot: false });
    expect((await events.next()).changes.__typename).toBe('CaughtUp');
    const first = await create(one);
    const { cursor } = await nextChange(events);
    const name = await slotOf(replica);
    const reading = readBack(one);
    const go = await pauseAtRest(replica);
    endings.push(go);

    await fillWal(databases.primary, 48);
    const slot = async (server: Started) => (await server.replicas())[0]!.slot;
    await expect
      .poll(() => slot(one), WITHIN)
      .toMatchObject({
        condition: 'LARGE',
        isActive: true,
        heldBytes: expect.any(Number),
        advice: expect.stringMatching(/^The slot of replica-1 holds \d+ MB/),
      });
    expect((await one.rest('GET', '/health')).body).toMatchObject({ status: 'degraded' });

    const keeps = await slotOf(databases.replicas[1]!);
    await expect.poll(() => owed(keeps), WITHIN).toBeLessThan(8 * MIB);
    await fillWal(databases.primary, 64);
    await expect.poll(() => one.state(), WITHIN).toBe('LOST');
    await expect.poll(() => two.state(), WITHIN).toBe('LOST');
    // At each change and each doubling. The other slot is told of too: it moves on with the primary's next snapshot.
    const told = one.told(name).map(({ condition, heldBytes }) => {
      const doubled = Math.max(0, Math.floor(Math.log2((heldBytes ?? 0) / limits.SLOT_WAL_WARN_BYTES)));
      return `${condition}, doubled ${doubled} times`;
    });
    expect(told[0]).toMatch(/^large/);
    expect(told).toEqual(told.filter((line, index) => line !== told[index - 1]));
    expect(one.logged('Gave up the slot') + two.logged('Gave up the slot')).toBe(1);
    go();
    const [, other] = await one.replicas();
    expect(other).toMatchObject({ state: 'STREAMING', slot: { isActive: true } });
    expect((await one.rest('GET', '/health')).body).toMatchObject({
      status: 'degraded',
      message: expect.stringContaining('replica-1 is lost'),
    });

    expect(await faults(databases.config)).toContain('replica-1 slot-missing');
    await fixAll(databases.config);
    await expect.poll(() => one.state(), WITHIN).toBe('STREAMING');
    await reading.end();
    expect(await faults(databases.config)).toEqual([]);
    await expectSame();
    // Nobody who follows has noticed: the other replica's log went on.
    await events.end();
    const resumed = changes(two, { after: cursor, snapshot: false });
    expect((await nextChange(resumed)).key).not.toBe(first.user.id);
    await resumed.end();
  },
);

test('with SLOT_ACTION=warn a slot that holds too much is told, and stays', { timeout: 60_000 }, async () => {
  databases = await freshDatabases({ cluster });
  const server = await start({ SLOT_WAL_WARN_BYTES: 20 * MIB, SLOT_WAL_MAX_BYTES: 80 * MIB });
  const enable = await disableSubscription(databases.replicas[0]!);
  await fillWal(databases.primary, 112);
  await expect.poll(() => server.logged("before the primary's disk is full"), WITHIN).toBe(1);
  await expect
    .poll(async () => (await server.replicas())[0], WITHIN)
    .toMatchObject({ state: 'DISABLED', slot: { condition: 'EXCESSIVE', isActive: false } });
  expect(
    await databases.primary`select from pg_replication_slots where slot_name = ${await slotOf(databases.replicas[0]!)}`,
  ).toHaveLength(1);
  await enable();
  await expect.poll(() => server.state(), WITHIN).toBe('STREAMING');
  // What it keeps goes with the next snapshots of the primary's transactions.
  const condition = async () => {
    await databases.primary`select pg_log_standby_snapshot()`;
    await create(server);
    return (await server.replicas())[0]!.slot!.condition;
  };
  await expect.poll(condition, WITHIN).toBe('WELL');
});

/** Ways to lose a slot; each with what the doctor calls it. */
const losses: { by: string; check: string; lose: (slot: string) => Promise<void> }[] = [
  {
    by: 'max_slot_wal_keep_size',
    check: 'slot-lost',
    lose: async (slot) => {
      const enable = await disableSubscription(databases.replicas[0]!);
      await databases.primary`alter system set max_slot_wal_keep_size = '1MB'`;
      await databases.primary`select pg_reload_conf()`;
      await untilLost(slot, () => fillWal(databases.primary, 32));
      await enable();
    },
  },
  {
    by: 'idle_replication_slot_timeout',
    check: 'slot-lost',
    lose: async (slot) => {
      const enable = await disableSubscription(databases.replicas[0]!);
      await databases.primary`alter system set idle_replication_slot_timeout = '1s'`;
      await databases.primary`select pg_reload_conf()`;
      await untilLost(slot, async () => {});
      await enable();
    },
  },
  {
    by: 'somebody who dropped it',
    check: 'slot-missing',
    lose: () => dropSlot(databases.primary, databases.replicas[0]!),
  },
];

/** The server gives slots up at its checkpoints. */
async function untilLost(slot: string, work: () => Promise<void>): Promise<void> {
  const status = async () => {
    await work();
    await databases.primary`checkpoint`;
    return (await databases.primary`select wal_status from pg_replication_slots where slot_name = ${slot}`)[0];
  };
  await expect.poll(status, { timeout: 20_000, interval: 200 }).toEqual({ wal_status: 'lost' });
}

for (const { by, check, lose } of losses) {
  test(
    `a slot lost by ${by} is named and repaired; no read is stale meanwhile, and old cursors are told to start again`,
    { timeout: 60_000 },
    async () => {
      databases = await freshDatabases({ cluster });
      const [replica] = databases.replicas as [postgres.Sql];
      const server = await start();
      const following = changes(server, { snapshot: false });
      expect((await following.next()).changes.__typename).toBe('CaughtUp');
      await create(server);
      const { cursor } = await nextChange(following);

      const reading = readBack(server);
      await lose(await slotOf(replica));
      await expect.poll(() => server.state(), WITHIN).toBe('LOST');
      expect((await server.replicas())[0]).toMatchObject({ slot: { condition: 'LOST' } });
      const { bookmark, user } = await create(server);
      const read = await server.query(UserDocument, { id: user.id }, { 'readback-bookmark': bookmark });
      expect(read).toMatchObject({ data: { user: { id: user.id } }, readback: { source: 'primary', waitedMs: 0 } });
      expect(await server.query(UserDocument, { id: user.id }, { 'readback-consistency': 'eventual' })).toMatchObject({
        readback: { source: 'primary' },
      });
      await databases.primary`alter system reset all`;
      await databases.primary`select pg_reload_conf()`;

      const [finding] = (await examine(databases.config)).filter((found) => found.server === 'replica-1');
      expect(finding).toMatchObject({ check, severity: 'error', fix: { name: 'copy-again' } });
      await fixAll(databases.config);
      await expect.poll(() => server.state(), WITHIN).toBe('STREAMING');
      await reading.end();
      expect(await faults(databases.config)).toEqual([]);
      await expectSame();

      // Whoever followed all the time is told, as is who comes back: what was written meanwhile is in no log.
      let last;
      do last = await following.next().catch((error: unknown) => JSON.stringify(error));
      while (typeof last !== 'string');
      expect(last).toContain('CURSOR_EXPIRED');
      const [failure] = await changes(server, { after: cursor, snapshot: false }).failure();
      expect(failure!.extensions.code).toBe('CURSOR_EXPIRED');
      const again = changes(server, { snapshot: true });
      const keys: string[] = [];
      for (let event = await again.next(); event.changes.__typename !== 'CaughtUp'; event = await again.next())
        keys.push(event.changes.key);
      expect(keys).toHaveLength((await databases.primary`select from users`).length);
      await create(server);
      expect((await nextChange(again)).cursor).toEqual(expect.any(String));
      await again.end();
    },
  );
}
