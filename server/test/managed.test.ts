import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseConfig } from '../boot/config.ts';
import { findProgram } from '../../infra/programs.ts';
import { projectRoot } from '../lib/root.ts';
import { examine } from './support/doctor.ts';
import { connect } from '../database/connect.ts';
import { PROVIDERS, providerOf } from '../setup/providers.ts';
import { EACH, everythingWorks, looked, made, migrated, served, WELL } from './support/managed.ts';
import { givenUp } from './support/managed-steps.ts';
import { manage, MODELS, type Managed, type Model } from './support/models.ts';
import { HISTORIES, Results, STEPS, VERSION } from './support/results.ts';
import { ownServers, type OwnServers } from './support/standby.ts';

/** Readback where nobody is a superuser: what providers grant, modelled. */
const SLOW = { timeout: 120_000 };

const results = new Results();

let servers: OwnServers;
beforeAll(async () => {
  servers = await ownServers(['primary', 'replica'], { max_sync_workers_per_subscription: '8' });
}, SLOW.timeout);
afterAll(() => servers?.end(), SLOW.timeout);

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

const SERVED: Model[] = [MODELS.M1, MODELS.M1_LESS, MODELS.M3, MODELS.NR, MODELS.M0_PRIMARY];
for (const model of SERVED)
  describe(`GUARANTEE no superuser is needed: ${model.name}`, SLOW, () => {
    everythingWorks(() => servers, model, VERSION, results);
  });

test('one login may be both, the one that sets up and that of the server', SLOW, async () => {
  const managed = await manage(servers, { ...MODELS.M1_LESS, name: 'one_login' });
  const both = ({ adminUrl }: DatabaseConfig['primary']) => ({ url: adminUrl, adminUrl });
  const { primary, replicas } = managed.config;
  const config = { ...managed.config, primary: both(primary), replicas: replicas.map(both) };
  await migrated(config);
  expect(await looked(config)).toEqual(WELL);
  expect(await served({ ...managed, config })).toEqual(EACH);
  await managed.end();
});

test('SLOT_ACTION=drop where a slot is read by a login of somebody else’s: the doctor names it', SLOW, async () => {
  const managed = await manage(servers, { ...MODELS.M1_LESS, name: 'streamed', streamsAs: true });
  await migrated(managed.config);
  const found = (await examine(managed.config, { SLOT_ACTION: 'drop' })).find(({ check }) => check === 'slot-action');
  expect(found?.found).toMatch(/readback.give_up_slot runs as owner, which may not end the sessions of streamer$/);
  expect(found?.remedy).toMatch(/^Run there as a superuser: grant pg_signal_backend to owner; Or have the primary/);
  expect(await givenUp(managed)).toContain('permission denied to terminate process');
  await managed.end();
});

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

  for (const [side, take, give, said] of RIGHTS)
    test(`a right is asked for before anything is changed: on the ${side}, ${take}`, async () => {
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

  for (const { name, roles, settings = [], grants } of PROVIDERS)
    test(`where ${name} is told by a role or a setting, no remedy says alter system`, async () => {
      for (const setting of settings) {
        const sql = connect(app.primary.adminUrl, { max: 1, connectTimeoutMs: 5000, applicationName: 'test' });
        await sql.unsafe(`set "${setting}" = 'on'`);
        expect((await providerOf(sql))?.name).toBe(name);
        await sql.end();
      }
      for (const role of roles) {
        await managed.replica.unsafe(`create role ${role}; alter role owner nocreaterole noreplication`);
        const message = await migrated(app).catch((error: Error) => error.message);
        const findings = await examine(app);
        await managed.replica.unsafe(`alter role owner createrole replication; drop role ${role}`);
        expect(message).toContain(`Run there as ${grants}: alter role owner createrole;`);
        const remedies = findings.filter(({ server }) => server === 'replica-1').map(({ remedy }) => remedy);
        expect(remedies.join()).toContain(`as ${grants}: `);
        expect(remedies.join()).not.toMatch(/alter system|as a superuser/);
      }
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

test('docs/managed.md has what passed, and nothing else', () => {
  const hasPgBouncer = findProgram('pgbouncer') !== undefined;
  const [published, wanted] = results.tables(
    (step, _, version) =>
      version === VERSION && !HISTORIES.includes(step) && (step !== STEPS.PGBOUNCER || hasPgBouncer),
  );
  expect(published).toBe(wanted);
});
