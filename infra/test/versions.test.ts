import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChangesDocument, UpdateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import type { DatabaseConfig } from '../../server/boot/config.ts';
import { createLog, serve } from '../../server/boot/serve.ts';
import { setUp } from '../../server/setup/setup.ts';
import { testConfig } from '../../server/test/support/databases.ts';
import { everythingWorks } from '../../server/test/support/managed.ts';
import { MODELS, type Model } from '../../server/test/support/models.ts';
import { Results, STEPS, VERSION } from '../../server/test/support/results.ts';
import { connectTo } from '../../server/test/support/server.ts';
import { ownServers, type OwnServers } from '../../server/test/support/standby.ts';
import { subscribeTo } from '../../server/test/support/subscribe.ts';
import { findProgram } from '../programs.ts';
import { awaitedWorks } from './support/awaited.ts';
import {
  cluster,
  database,
  homeOf,
  isHere,
  readback,
  run,
  SLOW,
  stopClusters,
  type Major,
} from './support/versions.ts';

/** Readback on the versions of PostgreSQL that it is for, alone and mixed. */
const PAIRS = [
  [15, 15],
  [16, 16],
  [17, 17],
  [18, 18],
  [15, 18],
  [18, 15],
] as const;

const COUNT = 50;

afterAll(stopClusters, SLOW.timeout);

describe.skipIf(!isHere).each(PAIRS)('primary %i, replicas %i:', SLOW, (ofPrimary, ofReplicas) => {
  let databases: DatabaseConfig;
  /** Without the second replica. */
  let first: DatabaseConfig;

  beforeAll(async () => {
    const name = `from_${ofPrimary}_to_${ofReplicas}`;
    const primary = await database((await cluster(ofPrimary)).servers['primary']!, name);
    const { servers } = await cluster(ofReplicas);
    const replicas = [await database(servers['replica-1']!, name), await database(servers['replica-2']!, name)];
    databases = { primary, replicas, replicationUrl: undefined };
    first = { ...databases, replicas: replicas.slice(0, 1) };
  }, SLOW.timeout);

  test('set-up, and once more', async () => {
    expect(await readback(databases, 'migrate')).toContain('applied');
    expect(await readback(databases, 'migrate')).not.toContain('applied');
  });

  test(`${COUNT} writes, as many reads with their bookmarks from replicas, none stale, and as many events`, async () => {
    const config = testConfig({ BOOKMARK_WAIT_MS: 30_000, BOOKMARK_STALL_MS: 200 });
    const server = await serve(config, databases, createLog(config));
    const client = connectTo(`http://127.0.0.1:${server.port}`);
    const [someone] = await run<{ id: string }>(
      databases.primary,
      `insert into users (username, email, password_hash) values ('someone', 'someone@example.com', '-') returning id`,
    );
    const { id } = someone!;
    await client.query('{ users { totalCount } }', {}, { 'readback-consistency': 'strong' });
    const events = subscribeTo(client.websocket(), ChangesDocument);
    await events.next();
    const seen: unknown[] = [];
    for (let count = 1; count <= COUNT; count++) {
      const firstName = String(count);
      const { data, errors } = await client.query(UpdateUserDocument, { id, input: { firstName } });
      expect(errors).toEqual([]);
      const read = await client.query(UserDocument, { id }, { 'readback-bookmark': data.updateUser.bookmark });
      expect(read.data.user).toMatchObject({ firstName });
      expect(read.readback.source).toMatch(/^replica-[12]$/);
    }
    while (seen.length < COUNT) {
      const { changes } = await events.next();
      if (changes.__typename === 'UserChange' && changes.operation === 'UPDATE') seen.push(changes.user?.firstName);
    }
    expect(seen).toEqual(Array.from({ length: COUNT }, (_, index) => String(index + 1)));
    await client.dispose();
    await server.stop();
  });

  test('doctor, status and verify find nothing', async () => {
    expect(await readback(databases, 'doctor')).toContain('No faults found.');
    expect(await readback(databases, 'status')).toContain('All is well.');
    expect(await readback(databases, 'verify')).toContain('The same on both sides');
  });

  test('a table of which a column is generated', async () => {
    const made = 'create table made (id int primary key, one int, twice int generated always as (one * 2) stored);';
    const reading = 'grant select on made to readback_reader;';
    await run(
      databases.primary,
      `${made} ${reading} insert into made values (1, 1); grant select on made to readback_writer;
       alter publication readback add table made;`,
    );
    for (const replica of databases.replicas)
      await run(replica, `${made} ${reading} select readback.watch('made', 'id');`);
    for (const command of ['migrate', 'doctor', 'verify']) await readback(databases, command);
    expect(await run(databases.replicas[0]!, 'select * from made')).toEqual([{ id: 1, one: 1, twice: 2 }]);
  });

  test('a replica is dropped, and added again', async () => {
    const { url, adminUrl } = databases.replicas[1]!;
    expect(await readback(databases, 'replica', 'drop', 'replica-2', '--yes')).toContain('Done:');
    expect(await readback(first, 'replica', 'add', url, '--admin-url', adminUrl)).toContain('holds everything');
    expect(await readback(databases, 'doctor')).toContain('No faults found.');
    expect(await readback(databases, 'verify')).toContain('The same on both sides');
  });

  test('reset takes all of it out', async () => {
    await readback(databases, 'reset', '--tables', '--yes');
    for (const each of [databases.primary, ...databases.replicas])
      expect(await run(each, `select to_regnamespace('readback') as schema, to_regclass('users') as users`)).toEqual([
        { schema: null, users: null },
      ]);
  });

  // Up to 17 PostgreSQL sends nothing that was written before the publication was made, and fails instead.
  test('a subscription that came before its publication begins to copy', async () => {
    const { hostname, port, pathname } = new URL(databases.primary.adminUrl);
    const [login, slot] = [`early_${ofPrimary}_${ofReplicas}`, `readback_early_${ofPrimary}_${ofReplicas}`];
    await run(databases.primary, `create role ${login} login replication password 'secret'`);
    await run(
      databases.replicas[0]!,
      `create subscription readback connection 'host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${login} password=secret'
       publication readback with (slot_name = '${slot}', streaming = on)`,
    );
    await run(databases.primary, 'create table early (id int primary key); insert into early values (1)');
    const replicationUrl = Object.assign(new URL(databases.primary.adminUrl), { username: login, password: '' }).href;
    await setUp({ ...first, replicationUrl }, testConfig({ SUBSCRIPTIONS: 'awaited' }), () => {});
    expect(await readback(first, 'verify')).toContain('The same on both sides');
  });
});

const results = new Results();

/** A primary and a replica of a version. */
function onServersOf(major: Major, work: (servers: () => OwnServers) => void): void {
  let servers: OwnServers;
  beforeAll(async () => {
    servers = await ownServers(['primary', 'replica'], { max_sync_workers_per_subscription: '8' }, homeOf(major));
  }, SLOW.timeout);
  afterAll(() => servers?.end(), SLOW.timeout);
  work(() => servers);
}

describe.skipIf(!isHere)('without a superuser on 15:', SLOW, () => {
  onServersOf(15, (servers) => awaitedWorks(servers, results));
});

/** Superusers are asked for nowhere from 16 on; the tests of each run do the same on 18. */
describe.skipIf(!isHere).each([16, 17] as const)('without a superuser on %i:', SLOW, (major) => {
  onServersOf(major, (servers) => {
    const models: Model[] = [MODELS.M1, MODELS.M1_LESS, MODELS.M3, MODELS.NR, MODELS.M0_PRIMARY];
    describe.each(models)('$name', (model) => {
      everythingWorks(servers, model, major, results);
    });
  });
});

test.skipIf(!isHere)('docs/managed.md has what passed without a superuser', () => {
  const hasPgBouncer = findProgram('pgbouncer') !== undefined;
  const [published, wanted] = results.tables(
    (step, _, version) => version < VERSION && (step !== STEPS.PGBOUNCER || hasPgBouncer),
  );
  expect(published).toBe(wanted);
});
