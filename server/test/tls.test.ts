/** @module-tag openssl */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { CreateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { readConfig, type DatabaseConfig } from '../boot/config.ts';
import { connect } from '../database/connect.ts';
import { describeRefusal } from '../database/refusal.ts';
import { formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { parse, type Conninfo } from '../setup/conninfo.ts';
import { openServer } from '../setup/servers.ts';
import { setUp } from '../setup/setup.ts';
import { startCluster, type OwnCluster } from './support/cluster.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { faults } from './support/doctor.ts';
import { startServer } from './support/server.ts';

/** A primary with a certificate for 127.0.0.1, and what connects to it. */
let cluster: OwnCluster;
let databases: TestDatabases;
let own: string;

const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: own, stdio: 'pipe' });

/** An authority, and a certificate of it for these names. */
function makeCertificates(name: string, subjectAltName: string): void {
  const subject = ['-subj', `/CN=${name}`];
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-keyout',
    `${name}-ca.key`,
    '-out',
    `${name}-ca.crt`,
    ...subject,
  );
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, ...subject);
  writeFileSync(join(own, `${name}.ext`), `subjectAltName = ${subjectAltName}`);
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    `${name}-ca.crt`,
    '-CAkey',
    `${name}-ca.key`,
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    `${name}.ext`,
    '-out',
    `${name}.crt`,
  );
}

/** PostgreSQL reads its key only where it owns it alone. */
function giveToPostgres(): void {
  const { uid, gid } = statSync(join(cluster.dir, 'primary'));
  for (const file of ['.', ...readdirSync(own)]) {
    chownSync(join(own, file), uid, gid);
    chmodSync(join(own, file), file === '.' ? 0o700 : 0o600);
  }
}

const path = (file: string) => join(own, file);

beforeAll(async () => {
  cluster = await startCluster();
  own = join(cluster.dir, 'primary', 'certificates');
  mkdirSync(own);
  makeCertificates('server', 'IP:127.0.0.1');
  makeCertificates('stranger', 'IP:127.0.0.1');
  giveToPostgres();
  const admin = postgres(cluster.servers['primary']!.adminUrl, { max: 1 });
  await admin.unsafe(`alter system set ssl_cert_file = '${path('server.crt')}'`);
  await admin.unsafe(`alter system set ssl_key_file = '${path('server.key')}'`);
  await admin`alter system set ssl = on`;
  await admin`select pg_reload_conf()`;
  await vi.waitFor(async () => expect((await admin`show ssl`)[0]!['ssl']).toBe('on'), { timeout: 10_000 });
  await admin.end();
  databases = await freshDatabases({ settle: false, cluster });
});
afterAll(async () => {
  await databases.drop();
  await cluster.stop();
});

function withTls(url: string, parameters: Record<string, string>, host?: string): string {
  const changed = new URL(url);
  if (host !== undefined) changed.hostname = host;
  for (const [name, value] of Object.entries(parameters)) changed.searchParams.set(name, value);
  return changed.href.replaceAll('+', '%20'); // as libpq reads it
}

/** Whether the connection is encrypted, or why there is none. */
async function attempt(parameters: Record<string, string>, host?: string): Promise<unknown> {
  const url = withTls(cluster.servers['primary']!.adminUrl, parameters, host);
  const sql = connect(url, { max: 1, connectTimeoutMs: 5000, applicationName: 'tls' });
  try {
    const [row] = await sql<[{ ssl: boolean }]>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`;
    return row.ssl;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    await sql.end();
  }
}

test('sslmode means what libpq means by it', async () => {
  const [ca, stranger] = [{ sslrootcert: path('server-ca.crt') }, { sslrootcert: path('stranger-ca.crt') }];
  expect(await attempt({})).toBe(true);
  expect(await attempt({ sslmode: 'disable' })).toBe(false);
  expect(await attempt({ sslmode: 'require' })).toBe(true);
  expect(await attempt({ sslmode: 'verify-full', ...ca })).toBe(true);
  expect(await attempt({ sslmode: 'verify-ca', ...ca }, 'localhost')).toBe(true);
  expect(await attempt({ sslmode: 'verify-full', ...ca }, 'localhost')).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  expect(await attempt({ sslmode: 'require', ...ca }, 'localhost')).toBe(true);
  for (const sslmode of ['require', 'verify-ca', 'verify-full'])
    expect(await attempt({ sslmode, ...stranger })).toMatch(/SIGNATURE|CERT|ISSUER/);
  const made = (query: string) =>
    connect(`postgres://a@b/c?${query}`, { max: 1, connectTimeoutMs: 1, applicationName: '' });
  expect(() => made('sslmode=yes')).toThrow('sslmode must be');
  expect(() => made('sslmode=verify-full&sslrootcert=/nowhere')).toThrow(/sslrootcert .*cannot be read: ENOENT/);
  expect(() => made(`sslmode=require&sslcert=${path('server.csr')}&sslkey=${path('server.key')}`)).toThrow(
    /sslcert=.*cannot be used: /,
  );
  expect(() => made('sslmode=require&sslrootcert=system')).toThrow('wants sslmode=verify-full');
});

test('libpq has other parameters for TLS: a client key with a password, versions', async () => {
  const ca = { sslmode: 'verify-full', sslrootcert: path('server-ca.crt') };
  openssl('rsa', '-aes256', '-passout', 'pass:keyword', '-in', 'stranger.key', '-out', 'locked.key');
  const client = { sslcert: path('stranger.crt'), sslkey: path('locked.key') };
  expect(await attempt({ ...ca, ...client, sslpassword: 'keyword' })).toBe(true);
  await expect(attempt({ ...ca, ...client, sslpassword: 'wrong' })).rejects.toThrow('cannot be used');
  expect(await attempt({ ...ca, ssl_min_protocol_version: 'TLSv1.3' })).toBe(true);
  expect(await attempt({ sslmode: 'require', ssl_max_protocol_version: 'TLSv1.1' })).toMatch(/SSL|TLS|PROTO/);
  expect(await attempt({ sslmode: 'allow' })).toBe(true);
  expect(await attempt({ sslmode: 'prefer' })).toBe(true);
  expect(await attempt({ sslrootcert: path('server-ca.crt') })).toBe(true);
  expect(await attempt({ sslrootcert: 'system' })).toMatch(/SIGNATURE|CERT|ISSUER/);
  if ((await versionOf()) >= 170_000) expect(await attempt({ ...ca, sslnegotiation: 'direct' })).toBe(true);
});

async function versionOf(): Promise<number> {
  const [row] = await databases.primary`select current_setting('server_version_num')::int as version`;
  return row!['version'] as number;
}

test('whoever has no TLS where it is wanted, or wants it where there is none, is told of sslmode', async () => {
  const refusal = async (url: string) => {
    const { admin } = openServer('primary', url, testConfig(), 'test');
    try {
      await admin`select 1`;
      return undefined;
    } catch (error) {
      return describeRefusal(error);
    } finally {
      await admin.end();
    }
  };
  const { adminUrl } = cluster.servers['primary']!;
  const hba = join(cluster.dir, 'primary', 'pg_hba.conf');
  const before = readFileSync(hba, 'utf8');
  const reload = () => databases.primary`select pg_reload_conf()`;
  writeFileSync(hba, before.replace(/^host\b/gm, 'hostssl'));
  try {
    await reload();
    await expect
      .poll(() => refusal(withTls(adminUrl, { sslmode: 'disable' })), { timeout: 20_000 })
      .toMatch(/^primary \(127.*no encryption.*sslmode=require/);
    expect(await refusal(adminUrl)).toBeUndefined();
    for (const sslmode of ['allow', 'prefer', 'require'])
      expect(await refusal(withTls(adminUrl, { sslmode }))).toBeUndefined();
  } finally {
    writeFileSync(hba, before);
    await reload();
  }
  const plain = inject('cluster').servers['primary']!.adminUrl;
  expect(await refusal(withTls(plain, { sslmode: 'require' }))).toMatch(/^primary \(127.*sslmode=disable/);
  for (const sslmode of ['allow', 'prefer', 'disable'])
    expect(await refusal(withTls(plain, { sslmode }))).toBeUndefined();
});

test('replication is encrypted and verified as the URL says', async () => {
  const parameters = { sslmode: 'verify-full', sslrootcert: path('server-ca.crt') };
  // The embedded replica runs as the same user, and can read the file.
  const primary = {
    url: withTls(databases.config.primary.url, parameters),
    adminUrl: withTls(databases.config.primary.adminUrl, parameters),
  };
  await setUp({ ...databases.config, primary }, testConfig(), () => {});
  const [stream] = await databases.primary`
    select ssl from pg_stat_ssl join pg_stat_replication using (pid) where application_name like 'readback_%'
      and usename like 'readback_%' order by backend_start desc limit 1`;
  expect(stream).toEqual({ ssl: true });
  const [{ subconninfo }] = (await databases.replicas[0]!`
    select subconninfo from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`) as [
    { subconninfo: string },
  ];
  expect(subconninfo).toContain("sslmode='verify-full'");
});

/** The primary takes no connections but encrypted ones. */
async function encryptedOnly(work: () => Promise<void>): Promise<void> {
  const hba = join(cluster.dir, 'primary', 'pg_hba.conf');
  const before = readFileSync(hba, 'utf8');
  const reload = () => databases.primary`select pg_reload_conf()`;
  writeFileSync(hba, before.replace(/^host\b/gm, 'hostssl'));
  try {
    await reload();
    const plain = withTls(cluster.servers['primary']!.adminUrl, { sslmode: 'disable' });
    const refused = () => connectsTo(plain);
    await expect.poll(refused, { timeout: 20_000 }).toBe(false);
    await work();
  } finally {
    writeFileSync(hba, before);
    await reload();
  }
}

async function connectsTo(url: string): Promise<boolean> {
  const sql = connect(url, { max: 1, connectTimeoutMs: 5000, applicationName: 'tls' });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end();
  }
}

/** Set-up, the doctor, and a write that is read from the replica; what the subscription connects with. */
async function works(config: DatabaseConfig, replica: postgres.Sql): Promise<Conninfo> {
  await setUp(config, testConfig(), () => {});
  expect(await faults(config)).toEqual([]);
  const lines: string[] = [];
  const server = await startServer({ LOG_LEVEL: 'info' }, { config } as TestDatabases, {
    write: (line) => lines.push(line),
  });
  const username = `a${performance.now()}`.replace('.', '');
  const input = { username, email: `${username}@example.com`, password: 'correct horse' };
  const { data, errors } = await server.query(CreateUserDocument, { input });
  expect(errors).toEqual([]);
  const { bookmark, user } = data.createUser;
  const read = await server.query(UserDocument, { id: user.id }, { 'readback-bookmark': bookmark });
  expect([read.data.user?.username, read.readback.source]).toEqual([username, 'replica-1']);
  await server.stop();
  const { password } = parseDatabaseUrl(config.primary.adminUrl);
  expect(lines.join('\n')).not.toContain(password);
  const [row] = await replica<[{ subconninfo: string }]>`
    select subconninfo from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`;
  return parse(row.subconninfo);
}

const PASSED_OVER = {
  channel_binding: 'prefer',
  pgbouncer: 'true',
  schema: 'public',
  keepalives: '1',
  application_name: 'shop',
  options: '-c work_mem=8MB',
  connect_timeout: '10',
  target_session_attrs: 'read-write',
};

test(
  'where only encrypted connections are let in, all works with each URL that can',
  { timeout: 120_000 },
  async () => {
    const { primary } = databases.config;
    await encryptedOnly(async () => {
      for (const [parameters, passedOn] of [
        [{}, {}],
        [{ sslmode: 'prefer' }, { sslmode: 'prefer' }],
        [
          { sslmode: 'require', ...PASSED_OVER },
          { sslmode: 'require', channel_binding: 'prefer', keepalives: '1' },
        ],
        [{ sslmode: 'verify-full', sslrootcert: path('server-ca.crt') }, { sslmode: 'verify-full' }],
      ] as [Record<string, string>, Conninfo][]) {
        const urls = { url: withTls(primary.url, parameters), adminUrl: withTls(primary.adminUrl, parameters) };
        const conninfo = await works({ ...databases.config, primary: urls }, databases.replicas[0]!);
        expect(conninfo).toMatchObject(passedOn);
        expect(Object.keys(conninfo)).not.toContain('pgbouncer');
      }
      const plain = withTls(primary.adminUrl, { sslmode: 'disable' });
      const config = { ...databases.config, primary: { ...primary, adminUrl: plain } };
      const failed = setUp(config, testConfig(), () => {}).catch((error: Error) => error.message);
      expect(await failed).toMatch(
        /^primary \(.*\): cannot be used: no pg_hba.conf entry .* add sslmode=require to the URL/,
      );
      const odd = { ...primary, adminUrl: `${primary.adminUrl}?options=-c+work_mem=8MB` };
      const refused = setUp({ ...databases.config, primary: odd }, testConfig(), () => {});
      await expect(refused).rejects.toThrow(/: cannot be used: unrecognized .*\. Check the options in the URL/);
    });
  },
);

test.each([
  ['sslmode=no-verify', 'write sslmode=require'],
  ['sslcert=a', 'name both, or neither'],
  ['colour=red', 'the parameter colour'],
])('a URL that cannot be kept to is refused wherever it stands, without its password: %s', (query, said) => {
  const good = 'postgres://a:S3CR3T@h/d';
  for (const name of [
    'PRIMARY_URL',
    'PRIMARY_ADMIN_URL',
    'PRIMARY_REPLICATION_URL',
    'REPLICA_URLS',
    'REPLICA_ADMIN_URLS',
  ]) {
    const environment = { PRIMARY_URL: good, REPLICA_URLS: good, [name]: `${good}?${query}` };
    const message = (() => {
      try {
        return JSON.stringify(readConfig(environment));
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(message).toMatch(new RegExp(`^${name}\\b.*${said}`));
    expect(message).not.toContain('S3CR3T');
  }
});

test('logins, passwords and databases of any characters', { timeout: 120_000 }, async () => {
  const odd = `o'd"d\\@:/?#%&+, ü`;
  const names = ['primary', 'replica-1'];
  const urls = names.map((name) => {
    const { hosts, user, password, parameters } = parseDatabaseUrl(cluster.servers[name]!.adminUrl);
    const at = (login: object) =>
      formatDatabaseUrl({ hosts, user, password, parameters, database: `db ${odd}`, ...login });
    return {
      url: at({ user: `app ${odd}`, password: `pw1 ${odd}` }),
      adminUrl: at({ user: `setup ${odd}`, password: `pw2 ${odd}` }),
    };
  });
  for (const name of names) {
    const admin = postgres(cluster.servers[name]!.adminUrl, { max: 1 });
    const login = odd.replaceAll('"', '""');
    await admin.unsafe(`create role "setup ${login}" superuser login password 'pw2 ${odd.replaceAll("'", "''")}'`);
    await admin.unsafe(`create database "db ${login}" owner "setup ${login}"`);
    await admin.end();
  }
  const config = { primary: urls[0]!, replicas: [urls[1]!], replicationUrl: undefined };
  const sql = connect(urls[1]!.adminUrl, { max: 1, connectTimeoutMs: 5000, applicationName: 'tls' });
  await encryptedOnly(async () => {
    const made = await works(config, sql);
    expect(made['dbname']).toBe(`db ${odd}`);
    // Nothing of it is taken for another connection.
    expect(await works(config, sql)).toEqual(made);
  });
  await sql.end();
  for (const name of names) {
    const log = readFileSync(join(cluster.dir, `${name}.log`), 'utf8');
    expect(log.includes('pw1 ')).toBe(false);
    expect(log.split('\n').filter((line) => line.includes('pw2 ') && !line.includes('superuser login'))).toEqual([]);
  }
});
