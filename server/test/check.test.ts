import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseConfig } from '../boot/config.ts';
import { command, variablesOf } from './support/command.ts';
import { manage, MODELS, OWNER, type Managed } from './support/models.ts';
import { ownServers, type OwnServers } from './support/standby.ts';

const SLOW = { timeout: 120_000 };

let servers: OwnServers;
let managed: Managed;
beforeAll(async () => {
  servers = await ownServers(['primary', 'replica']);
  managed = await manage(servers, MODELS.M1);
}, SLOW.timeout);
afterAll(async () => {
  await managed?.end();
  await servers?.end();
}, SLOW.timeout);

const check = (databases: DatabaseConfig, ...args: string[]) => command(['check', ...args], variablesOf(databases));

/** All that a set-up would add to, by its catalog. */
async function everything(): Promise<unknown[]> {
  const counted = [managed.primary, managed.replica].map(
    (sql) => sql`
      select (select count(*) from pg_namespace) as schemas, (select count(*) from pg_class) as relations,
             (select count(*) from pg_roles) as roles, (select count(*) from pg_subscription) as subscriptions,
             (select count(*) from pg_publication) as publications, (select count(*) from pg_replication_slots) as slots,
             (select count(*) from pg_replication_origin) as origins`,
  );
  return (await Promise.all(counted)).flat();
}

test('a pair that can carry Readback: 0, what each side is, and nothing is changed', SLOW, async () => {
  const before = await everything();
  const { code, out, err } = await check(managed.config);
  expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining('rror') });
  expect(out).toMatch(/^fit {4}primary \(.*\) PostgreSQL \d+\.\d+, as owner$/m);
  expect(out).toMatch(/^fit {4}replica-1 \(.*\) PostgreSQL \d+\.\d+, as owner\n {2}reaches the primary$/m);
  expect(out).toContain('They can carry Readback: readback migrate sets them up.');
  expect(await everything()).toEqual(before);
});

test('two URLs are enough, and the answer is one JSON document', SLOW, async () => {
  const { primary, replicas } = managed.config;
  const { code, out } = await command(['check', primary.adminUrl, replicas[0]!.adminUrl, '--json'], {});
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    isFit: true,
    servers: [
      { name: 'primary', provider: null, login: OWNER, lacks: [], reachesPrimary: null },
      { name: 'replica-1', login: OWNER, lacks: [], reachesPrimary: true },
    ],
  });
  expect(await command(['check', primary.adminUrl], {})).toMatchObject({
    code: 2,
    err: expect.stringContaining('give the URL of a replica, too'),
  });
});

test('what is missing is told on both sides at once, with who can give it', SLOW, async () => {
  const { primary, replica, config } = managed;
  await primary.unsafe(`alter role ${OWNER} nocreaterole`);
  await replica.unsafe(`revoke pg_create_subscription from ${OWNER}; create role rds_superuser`);
  try {
    const { code, out, err } = await check(config);
    expect({ code, err }).toEqual({ code: 1, err: expect.not.stringContaining('    at ') });
    expect(out).toMatch(
      /lacks {2}primary .*\n {2}- the login owner may not make roles and logins .* as a superuser: alter role/,
    );
    expect(out).toMatch(/lacks {2}replica-1 .*Amazon RDS or Aurora, as owner\n {2}- the login owner may not subscribe/);
    expect(out).toContain('a member of rds_superuser: grant pg_create_subscription to owner;');
    expect(out).not.toContain('alter system');
  } finally {
    await primary.unsafe(`alter role ${OWNER} createrole`);
    await replica.unsafe(`grant pg_create_subscription to ${OWNER}; drop role rds_superuser`);
  }
});

test('a replica that does not reach the primary, and a server that does not answer', SLOW, async () => {
  const { config } = managed;
  const nowhere = Object.assign(new URL(config.primary.adminUrl), { port: '1', username: '', password: '' }).href;
  const unreached = await check({ ...config, replicationUrl: nowhere });
  expect(unreached.code).toBe(1);
  expect(unreached.out).toMatch(/it does not reach the primary: .*refused.* set PRIMARY_REPLICATION_URL to that/);
  const silent = Object.assign(new URL(config.replicas[0]!.adminUrl), { port: '1' }).href;
  const dead = await check({ ...config, replicas: [{ url: silent, adminUrl: silent }] });
  expect(dead.code).toBe(1);
  expect(dead.out).toMatch(/lacks {2}replica-1 .*\n {2}- cannot be used: .*ECONNREFUSED/);
  expect(dead.out).toMatch(/^fit {4}primary/m);
});
