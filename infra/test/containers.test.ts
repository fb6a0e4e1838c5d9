import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CreateUserDocument, SignInDocument, UserDocument } from '../../schema/generated/operations.ts';
import { acceptance, type System } from '../../server/test/support/acceptance.ts';
import { connectTo } from '../../server/test/support/server.ts';
import { DockerComposeEnvironment } from 'testcontainers';
import { buildImage, Composition, docker, infra, whyNoContainers, type Service } from '../cluster/containers.ts';
import { settlePorts } from '../cluster/ports.ts';

/** infra/compose.yml, brought up as users do it. */
const DATABASES = ['primary', 'replica-1', 'replica-2'] as const;
const SERVERS = ['server-1', 'server-2'] as const;
const ALL: Service[] = ['certificates', ...DATABASES, 'set-up', ...SERVERS];

const missing = await whyNoContainers();
if (missing !== undefined)
  throw new Error(
    `Tests on containers need a Docker engine with Docker Compose, which cannot be used here: ${missing}`,
  );

describe('on containers', { timeout: 60_000 }, () => {
  let composition: Composition;
  const administrator = { login: 'operator', password: 'correct horse battery' };

  beforeAll(async () => {
    composition = await Composition.create();
    await composition.up();
    const who = ['--username', administrator.login, '--email', 'operator@example.com'];
    await composition.readback(['admin', 'create', ...who], `${administrator.password}\n`);
  }, 600_000);
  afterAll(() => composition?.remove(), 120_000);

  const inspect = async (service: Service) => JSON.parse(await docker('inspect', await composition.id(service)))[0];
  /** A row per line, or why there is none. As the superuser, from one of the replicas. */
  async function psql(server: string, statement: string, parameters = VERIFIED, host: string = server) {
    const password = readFileSync(join(composition.secrets, `${server}-superuser`), 'utf8').trim();
    const url = `postgres://postgres:${password}@${host}/readback?${parameters}`;
    const command = ['psql', '--no-psqlrc', '--tuples-only', '--no-align', '--quiet', '--command', statement, url];
    return composition.exec('replica-1', ...command).catch((error: Error) => error.message);
  }

  const system = (): System => ({
    urls: composition.urls,
    administrator,
    stopServer: async (index) => void (await docker('stop', await composition.id(SERVERS[index]!))),
    startServer: async (index) => void (await docker('start', await composition.id(SERVERS[index]!))),
    killReplica: async (name) => void (await docker('kill', await composition.id(name as Service))),
    startReplica: async (name) => void (await docker('start', await composition.id(name as Service))),
  });
  describe('what every installation does:', () => {
    acceptance(system);
  });

  test('every connection to a database is encrypted, and no other is let in', async () => {
    const kinds = `
      select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid)
      where client_addr is not null and application_name <> 'psql'`;
    for (const database of DATABASES) expect(await psql(database, kinds)).toBe('t');
    const streams = 'select count(*) from pg_stat_replication join pg_stat_ssl using (pid) where ssl';
    expect(await psql('primary', streams)).toBe('2');
    expect(await psql('primary', 'select 1')).toBe('1');
    expect(await psql('primary', 'select 1', 'sslmode=disable')).toContain('no encryption');
    const { Networks } = (await inspect('primary')).NetworkSettings;
    const [address] = Object.values<{ IPAddress: string }>(Networks).map(({ IPAddress }) => IPAddress);
    expect(await psql('primary', 'select 1', VERIFIED, address)).toContain('does not match host name');
  });

  test('no process is root, nor can the server change a file or gain a right', async () => {
    for (const service of [...DATABASES, ...SERVERS]) {
      const status = await composition.exec(service, 'cat', '/proc/1/status');
      const uids = /^Uid:\s+(.*)$/m.exec(status)![1]!.split('\t');
      expect(uids).not.toContain('0');
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    }
    for (const path of ['/app/x', '/app/dist/readback/main.js', '/x'])
      await expect(composition.exec('server-1', 'sh', '-c', `echo x >${path}`)).rejects.toThrow('Read-only');
  });

  test('what can be seen from outside holds no secret', async () => {
    const secrets = readdirSync(composition.secrets).map((name) =>
      readFileSync(join(composition.secrets, name), 'utf8'),
    );
    expect(secrets).toHaveLength(10);
    const [passwords, urls] = [
      secrets.filter((text) => !text.includes('://')),
      secrets.filter((text) => text.includes('://')),
    ];
    const words = [...passwords, ...urls.flatMap((text) => text.split(','))].map((word) => word.trim());
    for (const service of ALL) {
      const seen = JSON.stringify(await inspect(service)) + (await docker('logs', await composition.id(service)));
      expect(words.filter((word) => seen.includes(word))).toEqual([]);
    }
    // The servers have no superuser's.
    expect((await composition.exec('server-1', 'ls', '/run/secrets')).split('\n')).toEqual([
      'primary-url',
      'replica-urls',
    ]);
  });

  test('the databases have no port outside, the servers only on loopback', async () => {
    for (const database of DATABASES) expect((await inspect(database)).HostConfig.PortBindings).toEqual({});
    for (const server of SERVERS)
      expect((await inspect(server)).HostConfig.PortBindings).toEqual({
        '3000/tcp': [{ HostIp: '127.0.0.1', HostPort: expect.any(String) }],
      });
  });

  test('the commands work inside, and find nothing wrong', async () => {
    expect(await composition.readback(['doctor'])).toContain('No faults found');
    expect(await composition.exec('server-1', 'readback', '--help')).toContain('Usage: readback');
  });

  test('SIGTERM ends a server with subscribers by itself, within its grace', async () => {
    const client = connectTo(composition.urls[1]!);
    const { data } = await client.query(SignInDocument, administrator);
    const events = client.websocket(data.signIn.token).iterate({ query: 'subscription { changes { __typename } }' });
    await events.next();
    const ended = events.next().catch(() => undefined);
    await docker('kill', '--signal', 'SIGTERM', await composition.id('server-2'));
    await expect.poll(async () => (await inspect('server-2')).State.Status, { timeout: 15_000 }).toBe('exited');
    expect((await inspect('server-2')).State.ExitCode).toBe(0);
    await ended;
    await docker('start', await composition.id('server-2'));
  }, 30_000);

  test('down and up again: all is there as it was; down -v: nothing is left', async () => {
    const [one, other] = composition.urls.map(connectTo);
    const { data } = await one!.query(SignInDocument, administrator);
    const admin = { authorization: `Bearer ${data.signIn.token}` };
    const input = { username: 'lasting', email: 'lasting@example.com', password: 'correct horse' };
    const { id } = (await one!.query(CreateUserDocument, { input }, admin)).data.createUser.user;
    await composition.down({ removeVolumes: false });
    await composition.up();
    const read = await other!.query(UserDocument, { id }, admin);
    expect(read.data.user!.username).toBe('lasting');
    expect(read.readback.source).toMatch(/^replica-/);
    await composition.down({ removeVolumes: true });
    expect(await composition.remains()).toEqual([]);
  }, 180_000);
});

test('infra/replica.yml: a replica and a server beside a primary that is somebody else’s', async () => {
  const image = await buildImage();
  const [server] = await settlePorts([{ name: 'server', port: 0 }]);
  const { port } = server!;
  const password = 'p%40ss%2Fword';
  const environment = new DockerComposeEnvironment(infra, ['replica.yml', 'test/support/primary.yml'])
    .withProjectName(`readback-replica-${process.pid}`)
    .withEnvironment({
      READBACK_IMAGE: image,
      SERVER_PORT: String(port),
      PRIMARY_PASSWORD: decodeURIComponent(password),
      PRIMARY_ADMIN_URL: `postgres://postgres:${password}@primary:5432/app`,
    });
  const started = await environment.up();
  try {
    const client = connectTo(`http://127.0.0.1:${port}`);
    const input = { username: 'beside', email: 'beside@example.com', password: 'correct horse' };
    const { user, bookmark } = (await client.query(CreateUserDocument, { input })).data.createUser;
    const { data } = await client.query(SignInDocument, { login: 'beside', password: input.password });
    const headers = { authorization: `Bearer ${data.signIn.token}`, 'readback-bookmark': bookmark };
    expect(await client.query(UserDocument, { id: user.id }, headers)).toMatchObject({
      data: { user: { username: 'beside' } },
      readback: { source: 'replica-1' },
    });
  } finally {
    await started.down({ removeVolumes: true });
  }
}, 300_000);

const VERIFIED = 'sslmode=verify-full&sslrootcert=/etc/readback/ca.crt';
