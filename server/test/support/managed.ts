import type { Sql } from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChangesDocument, UpdateUserDocument, UserDocument } from '../../../schema/generated/operations.ts';
import type { DatabaseConfig } from '../../boot/config.ts';
import { createLog, serve } from '../../boot/serve.ts';
import { addReplica, planDrop } from '../../operate/replicas.ts';
import { reset } from '../../operate/reset.ts';
import { statusOf } from '../../operate/status.ts';
import { verify } from '../../operate/verify/verify.ts';
import { withServers, type Servers } from '../../setup/servers.ts';
import { setUp } from '../../setup/setup.ts';
import { testConfig } from './databases.ts';
import { faults } from './doctor.ts';
import { manage, OWNER, type Grants, type Managed, type Model } from './models.ts';
import { connectTo } from './server.ts';
import type { OwnServers } from './standby.ts';
import { subscribeTo } from './subscribe.ts';

const COUNT = 50;
const SLOW_MS = 120_000;
const config = testConfig({ BOOKMARK_WAIT_MS: 30_000, BOOKMARK_STALL_MS: 200 });
const quiet = () => {};

const on = <T>(databases: DatabaseConfig, work: (all: Servers) => Promise<T>) =>
  withServers(databases, config, 'test', work);

export async function migrated(databases: DatabaseConfig): Promise<string> {
  const lines: string[] = [];
  await setUp(databases, config, (line) => lines.push(line));
  return lines.join('\n');
}

/** What doctor, status and verify say. */
export async function looked(databases: DatabaseConfig) {
  const options = { chunkRows: 1000, most: 10, timeoutMs: 10_000 };
  return {
    faults: await faults(databases, { waitMs: 10_000 }),
    isWell: (await on(databases, (all) => statusOf(all, { ...config, waitMs: 10_000 }))).isWell,
    isSame: (await on(databases, (all) => verify(all, [], options, quiet))).isSame,
  };
}

export const WELL = { faults: [], isWell: true, isSame: true };

/** Writes, each read back from the replica with its bookmark; what as many events tell. */
export async function served({ config: databases, primary }: Managed): Promise<unknown[]> {
  const server = await serve(config, databases, createLog(config));
  const client = connectTo(`http://127.0.0.1:${server.port}`);
  const [someone] = await primary<[{ id: string }]>`
    insert into users (username, email, password_hash) values ('someone', 'someone@example.com', '-') returning id`;
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

/** What PostgreSQL says that the login may. */
async function rightsOf(sql: Sql) {
  const [rights] = await sql`
    select rolsuper as super, array(select r.rolname::text from pg_roles r where r.rolname like 'pg\\_%'
        and exists (select from pg_auth_members m where m.member = u.oid and m.roleid = r.oid) order by 1) as roles,
      array(select p.proname::text from pg_proc p where p.proname like 'pg\\_%replication\\_origin\\_%'
        and has_function_privilege(u.oid, p.oid, 'execute') order by 1) as functions
    from pg_roles u where rolname = ${OWNER}`;
  return rights;
}

const grantedBy = ({ roles, functions }: Exclude<Grants, 'superuser'>) => ({
  super: false,
  roles: roles.toSorted(),
  functions: functions.map((one) => one.replace(/\(.*/, '')).toSorted(),
});

/** Of what set-up makes, what is there. */
export async function made({ primary, replica, database }: Managed): Promise<string[]> {
  const found = await Promise.all(
    [primary, replica].map(
      (sql) => sql<{ name: string }[]>`
        select nspname::text as name from pg_namespace where nspname = 'readback'
        union all select pubname::text from pg_publication
        union all select slot_name::text from pg_replication_slots where database = ${database}
        union all select subname::text from pg_subscription s join pg_database d on d.oid = subdbid where datname = ${database}
        union all select relname::text from pg_class where relname in ('users', 'posts')`,
    ),
  );
  return found.flat().map(({ name }) => name);
}

/** All that one does with Readback, from set-up to reset, with the rights of a model. */
export function everythingWorks(servers: () => OwnServers, model: Model): void {
  let managed: Managed;
  beforeAll(async () => {
    managed = await manage(servers(), model);
  }, SLOW_MS);
  afterAll(() => managed?.end());

  test('the login is what the model says', async () => {
    const { primary, replica } = model;
    expect(await rightsOf(managed.primary)).toEqual(primary === 'superuser' ? expect.anything() : grantedBy(primary));
    expect(await rightsOf(managed.replica)).toEqual(replica === 'superuser' ? expect.anything() : grantedBy(replica));
  });

  test('set-up, twice, after which doctor, status and verify find nothing', async () => {
    expect(await migrated(managed.config)).toContain('applied');
    expect(await migrated(managed.config)).not.toContain('applied');
    expect(await looked(managed.config)).toEqual(WELL);
  });

  test(`${COUNT} writes, as many reads from the replica, none stale, and as many events`, async () => {
    expect(await served(managed)).toEqual(EACH);
  });

  test('the replica is dropped, and added again', async () => {
    const [replica] = managed.config.replicas;
    await on(managed.config, async (all) => (await planDrop(all, 'replica-1', config)).run());
    await addReplica({ ...managed.config, replicas: [] }, replica!, config, quiet);
    expect(await looked(managed.config)).toEqual(WELL);
  });

  test('reset leaves nothing', async () => {
    await on(managed.config, (all) => reset(all, { ...config, tables: true }, quiet));
    expect(await made(managed)).toEqual([]);
  });
}
