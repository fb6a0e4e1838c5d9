import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { tellFailure } from '../cli/failure.ts';
import { readConfig } from '../boot/config.ts';
import { parseDatabaseUrl, formatDatabaseUrl } from '../lib/database-url.ts';
import { projectRoot } from '../lib/root.ts';
import { openServer } from '../setup/servers.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';

/** What commands say where a server refuses what they ask of it. */
const SLOW = { timeout: 120_000 };
const PASSWORD = 'not-to-be-shown';
let databases: TestDatabases;
let nobody: string;

beforeAll(async () => {
  databases = await freshDatabases();
  nobody = `nobody_${databases.name}`;
  for (const sql of [databases.primary, ...databases.replicas])
    await sql.unsafe(`create role ${nobody} login password '${PASSWORD}'`);
});
afterAll(async () => {
  for (const sql of [databases.primary, ...databases.replicas]) await sql.unsafe(`drop role ${nobody}`);
  await databases.drop();
});

const asNobody = (url: string, changes = {}) =>
  formatDatabaseUrl({ ...parseDatabaseUrl(url), user: nobody, password: PASSWORD, ...changes });

const environment = (changes = {}) => ({
  PRIMARY_URL: databases.config.primary.url,
  PRIMARY_ADMIN_URL: asNobody(databases.config.primary.adminUrl, changes),
  REPLICA_URLS: databases.config.replicas[0]!.url,
  REPLICA_ADMIN_URLS: asNobody(databases.config.replicas[0]!.adminUrl, changes),
});

interface Outcome {
  code: number;
  out: string;
  err: string;
}

function shell(line: string, settings: Record<string, string>): Promise<Outcome> {
  const { PATH = '', HOME = '' } = process.env;
  const env = { PATH, HOME, ...settings, READBACK: join(projectRoot, 'infra/launch.mjs'), NODE: process.execPath };
  return new Promise((resolve) => {
    const child = execFile('sh', ['-c', line], { env, cwd: tmpdir() }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
    child.stdin?.end();
  });
}

const readback = (args: string, changes = {}) => shell(`"$NODE" "$READBACK" ${args}`, environment(changes));

const REFUSED = [
  'status',
  'verify',
  'replica drop replica-1 --yes',
  'reset --yes',
  'admin create --username ada --email ada@example.com --password very-long-one',
];

test.each(REFUSED)(
  'readback %s without the rights: a line with the server, what was refused and the remedy',
  SLOW,
  async (args) => {
    const { code, err } = await readback(args);
    expect(err).toMatch(
      /^(primary|replica-1) \(127\.0\.0\.1:\d+\/\w+\): .*(permission denied|must be owner|may not drop)/m,
    );
    expect(err.trim().split('\n').at(-1)).toContain('PRIMARY_ADMIN_URL');
    expect({ code, stack: /^ +at /m.test(err) }).toEqual({ code: 1, stack: false });
    expect(err).not.toContain(PASSWORD);
  },
);

test('nor may they look or set up: doctor and migrate say so', SLOW, async () => {
  for (const args of ['doctor', 'migrate', 'add users']) {
    const { code, out, err } = await readback(args);
    expect({ args, code, stack: /^ +at /m.test(out + err) }).toEqual({ args, code: 1, stack: false });
  }
});

test.each(['status', 'doctor', 'verify', 'migrate', 'reset --yes', 'replica drop replica-1 --yes'])(
  'readback %s of a database that is not there',
  SLOW,
  async (args) => {
    const { code, out, err } = await readback(args, { database: 'is_not_there' });
    expect(out + err).toMatch(/127\.0\.0\.1:\d+\/is_not_there.*database "is_not_there" does not exist/);
    expect({ code, stack: /^ +at /m.test(out + err) }).toEqual({ code: 1, stack: false });
  },
);

test('who reads the output may leave before its end', SLOW, async () => {
  const settings = {
    ...environment(),
    PRIMARY_ADMIN_URL: databases.config.primary.adminUrl,
    REPLICA_ADMIN_URLS: databases.config.replicas[0]!.adminUrl,
  };
  const { err } = await shell('{ "$NODE" "$READBACK" status; echo "ended with $?" >&2; } | true', settings);
  expect(err).toBe('ended with 0\n');
});

test('a fault of the program keeps its stack, says that it is one, and shows no value of a statement', async () => {
  const lines: string[] = [];
  const spy = vi.spyOn(console, 'error').mockImplementation((text: string) => void lines.push(text));
  const { admin } = openServer('primary', databases.config.primary.adminUrl, readConfig({}), 'test');
  try {
    expect(tellFailure(await admin`select ${PASSWORD}::int`.catch((error: unknown) => error))).toBe(1);
    expect(tellFailure(new TypeError('no such thing'))).toBe(1);
  } finally {
    spy.mockRestore();
    await admin.end();
  }
  expect(lines[0]).toMatch(/^This is a fault of Readback itself, met at primary \(127.*\n.*\n +at /);
  expect(lines[1]).toMatch(/^This is a fault of Readback itself\. .*:\nTypeError: no such thing\n +at /);
});

test('of transactions on several servers, an error tells of its own', async () => {
  const open = (name: string, url: string) => openServer(name, url, readConfig({}), 'test');
  const one = open('primary', databases.config.primary.adminUrl);
  const other = open('replica-1', databases.config.replicas[0]!.adminUrl);
  const lines: string[] = [];
  const spy = vi.spyOn(console, 'error').mockImplementation((text: string) => void lines.push(text));
  try {
    const both = one.admin.begin((first) =>
      other.admin.begin(async () => void (await first`select from nothing_there`)),
    );
    tellFailure(await both.catch((error: unknown) => error));
  } finally {
    spy.mockRestore();
    await Promise.all([one, other].map(({ admin }) => admin.end()));
  }
  expect(lines).toEqual([
    expect.stringMatching(/^primary \(127.*relation "nothing_there" does not exist.*readback migrate/),
  ]);
});
