import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChangesDocument, UpdateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import type { DatabaseConfig } from '../boot/config.ts';
import { createLog, serve } from '../boot/serve.ts';
import { projectRoot } from '../lib/root.ts';
import { addReplica, planDrop } from '../operate/replicas.ts';
import { reset } from '../operate/reset.ts';
import { statusOf } from '../operate/status.ts';
import { verify } from '../operate/verify/verify.ts';
import { withServers, type Servers } from '../setup/servers.ts';
import { setUp } from '../setup/setup.ts';
import { testConfig } from './support/databases.ts';
import { examine, faults } from './support/doctor.ts';
import { manage, MODELS, OWNER, type Grants, type Managed, type Model } from './support/models.ts';
import { connectTo } from './support/server.ts';
import { ownServers, type OwnServers } from './support/standby.ts';
import { subscribeTo } from './support/subscribe.ts';

/** Readback where nobody is a superuser: what providers grant, modelled. */
const COUNT = 50;
const SLOW = { timeout: 120_000 };
const config = testConfig({ BOOKMARK_WAIT_MS: 30_000, BOOKMARK_STALL_MS: 200 });
const quiet = () => {};

let servers: OwnServers;
beforeAll(async () => {
  servers = await ownServers(['primary', 'replica'], { max_sync_workers_per_subscription: '8' });
}, SLOW.timeout);
afterAll(() => servers?.end(), SLOW.timeout);

const on = <T>(databases: DatabaseConfig, work: (all: Servers) => Promise<T>) =>
  withServers(databases, config, 'test', work);

async function migrated(databases: DatabaseConfig): Promise<string> {
  const lines: string[] = [];
  await setUp(databases, config, (line) => lines.push(line));
  return lines.join('\n');
}

/** What doctor, status and verify say. */
async function looked(databases: DatabaseConfig) {
  const options = { chunkRows: 1000, most: 10, timeoutMs: 10_000 };
  return {
    faults: await faults(databases, { waitMs: 10_000 }),
    isWell: (await on(databases, (all) => statusOf(all, { ...config, waitMs: 10_000 }))).isWell,
    isSame: (await on(databases, (all) => verify(all, [], options, quiet))).isSame,
  };
}

const WELL = { faults: [], isWell: true, isSame: true };

/** Writes, each read back from the replica with its bookmark; what as many events tell. */
async function served({ config: databases, primary }: Managed): Promise<unknown[]> {
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

const EACH = Array.from({ length: COUNT }, (_, index) => String(index + 1));

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
async function made({ primary, replica, database }: Managed): Promise<string[]> {
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

/** The command itself, with these databases. */
function readback(args: string, { primary, replicas: [replica] }: DatabaseConfig) {
  const { PATH = '', HOME = '' } = process.env;
  const env = {
    PATH,
    HOME,
    PRIMARY_URL: primary.url,
    PRIMARY_ADMIN_URL: primary.adminUrl,
    REPLICA_URLS: replica!.url,
    REPLICA_ADMIN_URLS: replica!.adminUrl,
  };
  const program = [join(projectRoot, 'dist/readback/main.js'), ...args.split(' ')];
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    const child = execFile(process.execPath, program, { env, cwd: tmpdir() }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
    child.stdin?.end();
  });
}

describe.each([MODELS.M1, MODELS.M1_LESS, MODELS.M3, MODELS.NR, MODELS.M0_PRIMARY] as Model[])(
  'GUARANTEE no superuser is needed: $name',
  SLOW,
  (model) => {
    let managed: Managed;
    beforeAll(async () => {
      managed = await manage(servers, model);
    }, SLOW.timeout);
    afterAll(() => managed.end());

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
  },
);

/** What is taken from the login, and what is said of it. */
const RIGHTS: [side: 'primary' | 'replica', take: string, give: string, said: RegExp][] = [
  ['primary', 'alter role owner nocreaterole', 'alter role owner createrole', /may not make roles and logins/],
  ['primary', 'alter role owner noreplication', 'alter role owner replication', /may not make logins that replicate/],
  ['primary', 'alter database :db owner to postgres', 'alter database :db owner to owner', /grant create on database/],
  ['replica', 'alter role owner nocreaterole', 'alter role owner createrole', /may not make roles and logins/],
  ['replica', 'alter database :db owner to postgres', 'alter database :db owner to owner', /grant create on database/],
  [
    'replica',
    'revoke pg_create_subscription from owner',
    'grant pg_create_subscription to owner',
    /grant pg_create_subscription to owner/,
  ],
  [
    'replica',
    'revoke execute on function pg_show_replication_origin_status() from owner',
    'grant execute on function pg_show_replication_origin_status() to owner',
    /may not call pg_show_replication_origin_status/,
  ],
];

describe('a right that is missing', SLOW, () => {
  let managed: Managed;
  let app: DatabaseConfig;
  beforeAll(async () => {
    managed = await manage(servers, { ...MODELS.M3, name: 'rights' });
    app = managed.config;
  }, SLOW.timeout);
  afterAll(() => managed.end());

  test.each(RIGHTS)('on the %s: %s: one line, before anything is changed', async (side, take, give, said) => {
    const run = (statement: string) => managed[side].unsafe(statement.replace(':db', managed.database));
    await run(take);
    const message = await migrated(app).then(
      () => 'no error',
      (error: Error) => error.message,
    );
    const findings = await examine(app);
    await run(give);
    expect(message).toMatch(said);
    expect(message).toMatch(new RegExp(`^${side}[^\\n]*$`));
    expect(await made(managed)).toEqual([]);
    expect(findings).toContainEqual(
      expect.objectContaining({ server: side === 'primary' ? side : 'replica-1', check: 'admin-rights' }),
    );
  });

  test('where a provider is told by its roles, no remedy says alter system', async () => {
    await managed.replica`create role cloudsqlsuperuser`;
    await managed.replica`alter role owner nocreaterole`;
    const message = await migrated(app).catch((error: Error) => error.message);
    const remedies = (await examine(app)).filter(({ server }) => server === 'replica-1').map(({ remedy }) => remedy);
    await managed.replica`alter role owner createrole`;
    await managed.replica`drop role cloudsqlsuperuser`;
    expect(message).toContain('Run there as a member of cloudsqlsuperuser: alter role owner createrole;');
    expect(remedies.join()).toContain('as a member of cloudsqlsuperuser');
    expect(remedies.join()).not.toContain('alter system');
  });

  test('commands end with 1 and without a stack, and leave all as it is', async () => {
    await migrated(app);
    const before = await made(managed);
    await managed.primary`alter role owner noreplication`;
    for (const command of ['migrate', 'replica drop replica-1 --yes', 'reset --yes', 'doctor']) {
      const { code, out, err } = await readback(command, app);
      expect({ command, code, stack: /^ +at /m.test(out + err) }).toEqual({ command, code: 1, stack: false });
      expect(out + err).toMatch(/may not (make logins that replicate|drop replication slots)/);
    }
    await managed.primary`alter role owner replication`;
    expect(await made(managed)).toEqual(before);
    expect(await looked(app)).toEqual(WELL);
  });
});

test('a replica that nobody may ask for its origin is refused, and nothing is changed', SLOW, async () => {
  const managed = await manage(servers, MODELS.M0_REPLICA);
  await expect(migrated(managed.config)).rejects.toThrow(
    /^replica-1 \(.*: the login owner may not call pg_show_replication_origin_status\(\), .*no replica\.$/,
  );
  expect(await made(managed)).toEqual([]);
  await managed.end();
});
