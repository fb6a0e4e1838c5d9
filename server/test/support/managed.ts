import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChangesDocument, UpdateUserDocument, UserDocument } from '../../../schema/generated/operations.ts';
import type { Config, DatabaseConfig } from '../../boot/config.ts';
import { createLog, serve } from '../../boot/serve.ts';
import { addReplica, planDrop } from '../../operate/replicas.ts';
import { reset } from '../../operate/reset.ts';
import { statusOf } from '../../operate/status.ts';
import { verify } from '../../operate/verify/verify.ts';
import type { Say } from '../../lib/logger.ts';
import { withServers, type Servers } from '../../setup/servers.ts';
import { setUp } from '../../setup/setup.ts';
import { testConfig } from './databases.ts';
import { faults } from './doctor.ts';
import { added, behindPgBouncer, givenUp, repaired } from './managed-steps.ts';
import { manage, rightsBy, rightsIn, type Managed, type Model } from './models.ts';
import { connectTo } from './server.ts';
import { COUNT, STEPS, type Results } from './results.ts';
import type { OwnServers } from './standby.ts';
import { subscribeTo } from './subscribe.ts';

const SLOW_MS = 120_000;
const config = testConfig({ BOOKMARK_WAIT_MS: 30_000, BOOKMARK_STALL_MS: 200 });
const quiet = () => {};

export const on = <T>(databases: DatabaseConfig, work: (all: Servers) => Promise<T>) =>
  withServers(databases, config, 'test', work);

export async function migrated(
  databases: DatabaseConfig,
  overrides: Partial<Config> = {},
  hear: Say = quiet,
): Promise<string> {
  const lines: string[] = [];
  await setUp(databases, { ...config, ...overrides }, (line) => {
    lines.push(line);
    hear(line);
  });
  return lines.join('\n');
}

/** What doctor, status and verify say. */
export async function looked(databases: DatabaseConfig, overrides: Partial<Config> = {}) {
  const options = { chunkRows: 1000, most: 10, timeoutMs: 10_000 };
  return {
    faults: await faults(databases, { ...overrides, waitMs: 10_000 }),
    isWell: (await on(databases, (all) => statusOf(all, { ...config, ...overrides, waitMs: 10_000 }))).isWell,
    isSame: (await on(databases, (all) => verify(all, [], options, quiet))).isSame,
  };
}

export const WELL = { faults: [], isWell: true, isSame: true };

/** Writes, each read back from the replica with its bookmark; what as many events tell. */
export async function served({ config: databases, primary }: Managed): Promise<unknown[]> {
  const server = await serve(config, databases, createLog(config));
  const client = connectTo(`http://127.0.0.1:${server.port}`);
  const name = `someone-${crypto.randomUUID()}`;
  const [someone] = await primary<[{ id: string }]>`
    insert into users (username, email, password_hash) values (${name}, ${`${name}@example.com`}, '-') returning id`;
  const { id } = someone;
  await client.query('{ users { totalCount } }', {}, { 'readback-consistency': 'strong' });
  const events = subscribeTo(client.websocket(), ChangesDocument);
  await events.next();
  for (let count = 1; count <= COUNT; count++) {
    const firstName = String(count);
    const { data, errors } = await client.query(UpdateUserDocument, { id, input: { firstName } });
    expect(errors).toEqual([]);
    const read = await client.query(UserDocument, { id }, { 'readback-bookmark': data.updateUser.bookmark });
    expect(read.data.user).toMatchObject({ firstName });
    expect(read.readback.source).toBe('replica-1');
  }
  const seen: unknown[] = [];
  while (seen.length < COUNT) {
    const { changes } = await events.next();
    if (changes.__typename === 'UserChange' && changes.operation === 'UPDATE') seen.push(changes.user?.firstName);
  }
  expect(await client.rest('GET', '/health')).toMatchObject({ status: 200, body: { status: 'healthy' } });
  await client.dispose();
  await server.stop();
  return seen;
}

export const EACH = Array.from({ length: COUNT }, (_, index) => String(index + 1));

/** Of what set-up makes, what is there. */
export async function made({ primary, replica, database }: Managed): Promise<string[]> {
  const found = await Promise.all(
    [primary, replica].map(
      (sql) => sql<{ name: string }[]>`
        select nspname::text as name from pg_namespace where nspname = 'readback'
        union all select pubname::text from pg_publication
        union all select slot_name::text from pg_replication_slots where database = ${database}
        union all select subname::text from pg_subscription s join pg_database d on d.oid = subdbid where datname = ${database}
        union all select relname::text from pg_class where relname in ('users', 'posts', 'notes')`,
    ),
  );
  return found.flat().map(({ name }) => name);
}

/** A test of one of the steps; `results` has it when it has passed. */
export const stepsOf =
  (model: Model, version: number, results: Results) =>
  (name: string, work: () => Promise<void>, options: { tags?: string[] } = {}) =>
    test(name, { ...options, timeout: SLOW_MS }, async () => {
      expect.hasAssertions();
      await work();
      results.passed(name, model.title, version);
    });

/** All that one does with Readback, from set-up to reset, with the rights of a model. */
export function everythingWorks(servers: () => OwnServers, model: Model, version: number, results: Results): void {
  let managed: Managed;
  beforeAll(async () => {
    managed = await manage(servers(), model);
  }, SLOW_MS);
  afterAll(() => managed?.end());
  const step = stepsOf(model, version, results);

  test('the login is what the model says', async () => {
    expect(await rightsIn(managed)).toEqual(rightsBy(model));
  });

  step(STEPS.SET_UP, async () => {
    expect(await migrated(managed.config)).toContain('applied');
    expect(await migrated(managed.config)).not.toContain('applied');
  });

  step(STEPS.LOOKED, async () => {
    expect(await looked(managed.config)).toEqual(WELL);
  });

  step(STEPS.SERVED, async () => {
    expect(await served(managed)).toEqual(EACH);
  });

  // Dropping a slot is another login's there, and stays so.
  const giving = model.streamsAs
    ? {
        run: test,
        name: 'the server may not give a slot up; it and the doctor say so',
        said: 'permission denied to use replication slots',
        found: ['primary slot-action'],
      }
    : { run: step, name: STEPS.GIVEN_UP, said: 'Gave up the slot', found: [] };
  giving.run(giving.name, async () => {
    expect(await faults(managed.config, { SLOT_ACTION: 'drop' })).toEqual(giving.found);
    expect(await givenUp(managed)).toContain(giving.said);
  });

  step(STEPS.REPAIRED, async () => {
    await repaired(managed);
    expect(await looked(managed.config)).toEqual(WELL);
  });

  step(STEPS.AGAIN, async () => {
    const [replica] = managed.config.replicas;
    await on(managed.config, async (all) => (await planDrop(all, 'replica-1', config)).run());
    await addReplica({ ...managed.config, replicas: [] }, replica!, config, quiet);
    expect(await looked(managed.config)).toEqual(WELL);
  });

  step(
    STEPS.PGBOUNCER,
    () =>
      behindPgBouncer(managed, async (pooled) => {
        await migrated(pooled);
        expect(await looked(pooled)).toEqual(WELL);
        expect(await served({ ...managed, config: pooled })).toEqual(EACH);
      }),
    { tags: ['pgbouncer'] },
  );

  step(STEPS.ADD, async () => {
    await added(managed);
    expect(await looked(managed.config)).toEqual(WELL);
  });

  step(STEPS.RESET, async () => {
    await on(managed.config, (all) => reset(all, { ...config, tables: true }, quiet));
    expect(await made(managed)).toEqual([]);
  });
}
