import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { startEmbedded } from '../../infra/cluster/embedded.ts';
import { command, variablesOf } from './support/command.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';

let databases: TestDatabases;
const dir = mkdtempSync(join(tmpdir(), 'readback-cli-'));
beforeEach(async () => {
  databases = await freshDatabases();
});
afterEach(() => databases.drop());
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const readback = (args: string[], environment = variablesOf(databases.config)) => command(args, environment, dir);

const SLOW = { timeout: 120_000 };

test('a pair that is well: 0, plain text and JSON', SLOW, async () => {
  const status = await readback(['status']);
  expect(status).toMatchObject({ code: 0, err: expect.not.stringContaining('rror') });
  expect(status.out).toContain('All is well.');
  expect(status.out).not.toContain('\u001b');
  // More than the embedded primary keeps for a slot, which is advised against.
  const doctor = await readback(['doctor', '--json', '--max-wal-bytes', '5000000000']);
  expect(JSON.parse(doctor.out)).toEqual({
    at: expect.any(String),
    isWell: true,
    fixed: [],
    findings: [
      {
        check: 'wal-limit',
        severity: 'advice',
        server: 'primary',
        found: expect.any(String),
        expected: expect.any(String),
        remedy: expect.any(String),
        fix: null,
      },
    ],
  });
  const verify = await readback(['verify', '--json']);
  expect(verify.code).toBe(0);
  expect(JSON.parse(verify.out)).toMatchObject({
    isSame: true,
    seconds: expect.any(Number),
    replicas: [{ name: 'replica-1' }],
  });
});

test(
  'faults: 1, and 0 when they are repaired; what needs an answer is not done where nobody can be asked',
  SLOW,
  async () => {
    const replica = databases.replicas[0]!;
    await replica`alter subscription readback disable`;
    expect(await readback(['status'])).toMatchObject({ code: 1, out: expect.stringContaining('disabled') });
    expect(await readback(['doctor'])).toMatchObject({
      code: 1,
      out: expect.stringContaining('subscription-disabled'),
    });
    const asked = await readback(['doctor', '--fix']);
    expect(asked).toMatchObject({ code: 2, err: expect.stringContaining('replica-1: enable the subscription?') });
    expect(
      await replica`select subenabled from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`,
    ).toEqual([{ subenabled: false }]);
    expect(await readback(['doctor', '--fix', '--yes'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('No faults found.'),
    });
    await replica`insert into users select gen_random_uuid(), 'extra', 'e', null, null, true, true, now(), now()`;
    expect(await readback(['verify', 'users'])).toMatchObject({
      code: 1,
      out: expect.stringContaining('on the replica alone'),
    });
  },
);

test('called wrongly: 2', SLOW, async () => {
  const codes = async (...calls: string[][]) => Promise.all(calls.map(async (args) => (await readback(args)).code));
  expect(
    await codes(['doctor', '--nope'], ['status', '--wait-ms', 'x'], ['nope'], ['reset'], ['replica', 'add', 'x']),
  ).toEqual([2, 2, 2, 2, 2]);
  expect(await readback(['status'], { READBACK_DIR: join(dir, 'nothing') })).toMatchObject({
    code: 2,
    err: expect.stringContaining('set PRIMARY_URL and REPLICA_URLS, or run npm start first'),
  });
});

test('a new replica is named by its URL, which is better not on the command line', SLOW, async () => {
  const [nowhere, url] = [{ READBACK_DIR: join(dir, 'nothing') }, 'postgres://a:very-secret@127.0.0.1:1/x'];
  const [nothing, given, inEnvironment] = await Promise.all([
    readback(['replica', 'add'], nowhere),
    readback(['replica', 'add', url], nowhere),
    readback(['replica', 'add'], { ...nowhere, NEW_REPLICA_URL: url }),
  ]);
  expect(nothing).toMatchObject({ code: 2, err: expect.stringContaining('NEW_REPLICA_URL takes it, too') });
  expect(given).toMatchObject({ code: 2, err: expect.stringContaining('A password on the command line can be seen') });
  expect(inEnvironment).toMatchObject({ code: 2, err: expect.stringMatching(/^[^\n]*set PRIMARY_URL/) });
  expect(JSON.stringify([given, inEnvironment])).not.toContain('very-secret');
});

test('every command has help with an example', SLOW, async () => {
  for (const command of ['status', 'doctor', 'verify', 'reset', 'replica add', 'replica drop']) {
    const { code, out } = await readback([...command.split(' '), '--help']);
    expect({ code, hasExample: /Example:\n {2}\$ npx readback /.test(out) }).toEqual({ code: 0, hasExample: true });
  }
});

test('the embedded pair: looked at by its folder, and deleted when it has stopped', SLOW, async () => {
  const folder = join(dir, 'pair');
  const pair = await startEmbedded({
    dir: folder,
    primaryPort: 0,
    replicaPort: 0,
    settings: { fsync: 'off' },
    say: () => {},
  });
  const environment = { READBACK_DIR: folder };
  expect(await readback(['doctor'], environment)).toMatchObject({
    code: 1,
    out: expect.stringContaining('not-set-up'),
  });
  expect(await readback(['reset', '--yes'], environment)).toMatchObject({
    code: 1,
    err: expect.stringContaining('stop it first'),
  });
  // Nothing was begun, so nothing stops: least of all the pair that runs.
  expect(await readback(['up'], environment)).toMatchObject({
    code: 1,
    out: expect.not.stringContaining('Stop'),
    err: expect.stringContaining('stop it first'),
  });
  await pair.stop();
  expect(await readback(['doctor'], environment)).toMatchObject({
    code: 1,
    out: expect.stringContaining('unreachable'),
  });
  writeFileSync(join(folder, 'notes.txt'), 'not ours');
  const said = await readback(['reset', '--yes'], environment);
  expect(said).toMatchObject({
    code: 0,
    err: expect.stringContaining(`${folder}: pgpass, primary, primary.log, replica`),
  });
  expect([existsSync(join(folder, 'primary')), existsSync(join(folder, 'notes.txt'))]).toEqual([false, true]);
  rmSync(join(folder, 'notes.txt'));
});

test('what is no command is named, with those that there are', SLOW, async () => {
  const outcome = await readback(['nonsense']);
  expect(outcome).toMatchObject({ code: 2, out: '', err: expect.stringContaining("there is no command 'nonsense'") });
  expect(outcome.err).toContain('migrate');
});
