/** @module-tag pgbouncer */
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CreateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import type { DatabaseConfig } from '../boot/config.ts';
import { pooledSettings } from '../database/pooled.ts';
import { serve } from '../boot/serve.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine } from './support/doctor.ts';
import { holdTable } from './support/faults.ts';
import { pgBouncer, type PgBouncer } from './support/pgbouncer.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

const POOL_SIZE = 3;
const IGNORED = ['role', ...Object.keys(pooledSettings('readback_writer', 1))].join();

let databases: TestDatabases;
/** Logins are of the whole cluster, so each file has its own. */
let logins: Record<'writes' | 'reads' | 'replicaReads', { user: string; password: string }>;
let poolers: { primary: PgBouncer; replica: PgBouncer };
let config: DatabaseConfig;

beforeAll(async () => {
  databases = await freshDatabases();
  const login = (what: string) => ({ user: `${databases.name}_${what}`, password: 'pooled' });
  logins = { writes: login('writes'), reads: login('reads'), replicaReads: login('replica') };
  poolers = await startPoolers('transaction');
  config = pooledConfig(poolers);
  await setUp(config, testConfig(), () => {});
});
afterAll(async () => {
  await removeAll(poolers);
  await databases.drop();
  for (const [server, names] of [
    [databases.config.primary, [logins.writes, logins.reads]],
    [databases.config.replicas[0]!, [logins.replicaReads]],
  ] as const) {
    const url = new URL(server.adminUrl);
    url.pathname = '/postgres';
    const sql = postgres(url.href, { max: 1 });
    for (const { user } of names) await sql.unsafe(`drop role ${user}`);
    await sql.end();
  }
});

const passwordOf = (url: string) => {
  const { username, password } = new URL(url);
  return { [decodeURIComponent(username)]: decodeURIComponent(password) };
};

/** It knows everybody: what is refused is not refused for a password. */
async function startPooler(side: 'primary' | 'replica', mode: 'session' | 'transaction', settings = {}) {
  const { url, adminUrl } = side === 'primary' ? databases.config.primary : databases.config.replicas[0]!;
  const known = Object.fromEntries(Object.values(logins).map(({ user, password }) => [user, password]));
  const pooler = await pgBouncer({
    server: url,
    mode,
    logins: { ...known, ...passwordOf(url), ...passwordOf(adminUrl) },
    settings: { default_pool_size: POOL_SIZE, ...settings },
  });
  await pooler.start();
  return pooler;
}

const startPoolers = async (mode: 'session' | 'transaction', settings = {}) => ({
  primary: await startPooler('primary', mode, settings),
  replica: await startPooler('replica', mode, settings),
});

const removeAll = (both: typeof poolers) => Promise.all(Object.values(both).map((pooler) => pooler.remove()));

function pooledConfig({ primary, replica }: typeof poolers): DatabaseConfig {
  const { config: direct } = databases;
  const [one] = direct.replicas;
  return {
    ...direct,
    primary: {
      ...direct.primary,
      pooled: {
        writes: primary.through(direct.primary.url, logins.writes),
        reads: primary.through(direct.primary.url, logins.reads),
      },
    },
    replicas: [{ ...one!, pooled: { reads: replica.through(one!.url, logins.replicaReads) } }],
  };
}

async function using(work: (server: TestServer) => Promise<void>, settings = {}, given = config): Promise<void> {
  const server = await startServer(settings, { ...databases, config: given });
  try {
    await work(server);
  } finally {
    await server.stop();
  }
}

let serial = 0;
const someone = () => {
  const username = `someone-${++serial}`;
  return { username, email: `${username}@example.com`, password: 'correct horse' };
};
const UPDATE = 'mutation ($id: ID!, $name: String) { updateUser(id: $id, input: { firstName: $name }) { bookmark } }';
const CHANGED = 'subscription { userChanged { operation user { username } } }';

async function createUser(server: TestServer): Promise<{ id: string; bookmark: string; username: string }> {
  const input = someone();
  const { data, errors } = await server.query(CreateUserDocument, { input });
  expect(errors).toEqual([]);
  return { ...data.createUser, id: data.createUser.user.id, username: input.username };
}

describe.each(['transaction', 'session'] as const)('behind PgBouncer in %s mode', (mode) => {
  let own: typeof poolers;
  beforeAll(async () => {
    own = mode === 'transaction' ? poolers : await startPoolers(mode);
  });
  afterAll(async () => {
    if (own !== poolers) await removeAll(own);
  });

  test('a write is read with its bookmark, and arrives at subscribers', async () => {
    await using(
      async (server) => {
        const events = subscribeTo<any>(server.websocket(), CHANGED);
        const next = events.next();
        await expect.poll(server.subscribers).toBe(1);
        const { id, bookmark, username } = await createUser(server);
        expect(await next).toEqual({ userChanged: { operation: 'INSERT', user: { username } } });
        await events.end();
        expect(await server.query(UserDocument, { id }, { 'readback-bookmark': bookmark })).toMatchObject({
          data: { user: { username } },
          readback: { source: 'replica-1' },
        });
        expect(await server.query(UserDocument, { id }, { 'readback-consistency': 'strong' })).toMatchObject({
          data: { user: { username } },
        });
        const input = { ...someone(), username };
        expect(await server.failure(CreateUserDocument as never, { input })).toBe('CONFLICT username');
      },
      {},
      pooledConfig(own),
    );
  });

  test('many clients share the few sessions of the pooler', async () => {
    await using(
      async (server) => {
        const { id } = await createUser(server);
        const writes = Array.from({ length: 40 }, (_, index) => server.query(UPDATE, { id, name: `n${index}` }));
        const reads = Array.from({ length: 40 }, () => server.query(UserDocument, { id }));
        for (const { errors } of await Promise.all([...writes, ...reads])) expect(errors).toEqual([]);
      },
      {},
      pooledConfig(own),
    );
    const [row] = await databases.primary<[{ count: number }]>`
      select count(*)::int from pg_stat_activity where usename = ${logins.writes.user}`;
    expect(row.count).toBeGreaterThan(0);
    // Those of the other describe block's PgBouncer may still be there.
    expect(row.count).toBeLessThanOrEqual(2 * POOL_SIZE);
  });

  test('a statement that takes too long is cancelled in PostgreSQL, though all sessions of the pooler are taken', async () => {
    const [replica] = databases.replicas;
    const running = () => replica!`
      select pid from pg_stat_activity where usename = ${logins.replicaReads.user} and state = 'active'`;
    await using(
      async (server) => {
        const release = await holdTable(replica!);
        try {
          const asked = Array.from({ length: POOL_SIZE }, (_, index) =>
            server.failure(`{ users(first: ${index + 1}) { totalCount } }`),
          );
          expect(new Set(await Promise.all(asked))).toEqual(new Set(['TIMEOUT']));
          await expect.poll(running, { timeout: 5000 }).toEqual([]);
        } finally {
          await release();
        }
        // What takes longer than that on a busy machine is asked again.
        const read = async () => (await server.query(UserDocument, { id: crypto.randomUUID() })).errors;
        await expect.poll(read, { timeout: 30_000 }).toEqual([]);
      },
      { OPERATION_TIMEOUT_MS: 500 },
      pooledConfig(own),
    );
  });

  test('a login of the pooler has the rights and settings of its role, and no more', async () => {
    const { primary, replicas } = pooledConfig(own);
    const attempts: [string, string, string][] = [
      [primary.pooled!.writes!, 'select password_hash from users', '42501'],
      [primary.pooled!.writes!, 'create table mine ()', '42501'],
      [primary.pooled!.reads!, "update users set first_name = 'x'", '25006'],
      [primary.pooled!.reads!, "begin read write; update users set first_name = 'x'; commit", '42501'],
      [replicas[0]!.pooled!.reads!, "update users set first_name = 'x'", '25006'],
      [replicas[0]!.pooled!.reads!, "begin read write; update users set first_name = 'x'; commit", '42501'],
      [replicas[0]!.pooled!.reads!, 'set role readback_pruner', '42501'],
    ];
    for (const [url, statement, code] of attempts) {
      const sql = postgres(url, { max: 1, prepare: false, fetch_types: false, onnotice: () => {} });
      await expect(sql.unsafe(statement)).rejects.toMatchObject({ code });
      await sql.end();
    }
  });
});

test('PgBouncer restarted: the server recovers, and no acknowledged write is lost', async () => {
  await using(async (server) => {
    const { id } = await createUser(server);
    const acknowledged: string[] = [];
    let refused = 0;
    let isOver = false;
    const write = async () => {
      while (!isOver) {
        const name = `restart-${++serial}`;
        const { errors } = await server.query(UPDATE, { id, name });
        if (errors.length === 0) acknowledged.push(name);
        else if (errors[0]!.extensions.code === 'PRIMARY_UNAVAILABLE') refused++;
        else throw new Error(JSON.stringify(errors));
      }
    };
    const more = (count: () => number) => {
      const before = count();
      return expect.poll(count, { timeout: 10_000 }).toBeGreaterThan(before + 5);
    };
    const writers = Promise.all([write(), write(), write()]);
    try {
      await more(() => acknowledged.length);
      await Promise.all([poolers.primary.stop(), poolers.replica.stop()]);
      await more(() => refused);
      await Promise.all([poolers.primary.start(), poolers.replica.start()]);
      await more(() => acknowledged.length);
    } finally {
      isOver = true;
      await writers;
    }
    const logged = () => databases.replicas[0]!<{ name: string }[]>`
      select after->>'first_name' as name from readback.change_log where key = ${id}`;
    await expect
      .poll(async () => (await logged()).map(({ name }) => name), { timeout: 10_000 })
      .toEqual(expect.arrayContaining(acknowledged));
    expect((await server.query(UserDocument, { id })).readback.source).toBe('replica-1');
  });
}, 60_000);

describe('what does not hold is refused at start, and told by the doctor', () => {
  const refusal = async (given: DatabaseConfig, settings = {}) => {
    const outcome = await serve(testConfig(settings), given).catch((error: Error) => error);
    if (outcome instanceof Error) return outcome.message;
    await outcome.stop();
    return 'served';
  };
  const findings = async (given: DatabaseConfig) =>
    (await examine(given))
      .filter(({ check }) => check.startsWith('pool'))
      .map(({ server, check }) => `${server} ${check}`);
  const withWrites = (writes: string): DatabaseConfig => ({
    ...config,
    primary: { ...config.primary, pooled: { writes } },
  });

  test('a pooler where PostgreSQL itself must be, be it strict or lenient', async () => {
    const lenient = await startPooler('replica', 'transaction', { ignore_startup_parameters: IGNORED });
    for (const pooler of [poolers.replica, lenient]) {
      const [one] = databases.config.replicas;
      const given = { ...databases.config, replicas: [{ ...one!, url: pooler.through(one!.url) }] };
      expect(await refusal(given)).toMatch(
        /^replica-1: PRIMARY_URL and REPLICA_URLS must lead to PostgreSQL itself, as LISTEN/,
      );
      expect(await findings(given)).toEqual(expect.arrayContaining(['replica-1 pooler']));
    }
    await lenient.remove();
  });

  test('set-up through a pooler', async () => {
    const adminUrl = poolers.primary.through(config.primary.adminUrl);
    const given = { ...config, primary: { ...config.primary, adminUrl } };
    await expect(setUp(given, testConfig(), () => {})).rejects.toThrow(
      /^primary .*this is a connection pooler, and set-up needs a session of its own/,
    );
  });

  test('logins with other rights or settings than they need', async () => {
    const { primary } = databases.config;
    const through = (login?: { user: string; password: string }) =>
      withWrites(poolers.primary.through(primary.url, login));
    const admin = withWrites(poolers.primary.through(primary.adminUrl));
    expect(await refusal(admin)).toMatch(
      /^primary: sessions of the pooler .* are not fit for use: its login \w+ is a superuser/,
    );
    expect(await refusal(through())).toMatch(
      /its login \w+ may take on readback_reader, too; synchronous_commit|statement_timeout/,
    );
    expect(await refusal(through(logins.reads))).toMatch(
      /no member of readback_writer; .* may take on readback_reader, too/,
    );
    expect(await refusal(config, { STATEMENT_TIMEOUT_MS: 5000 })).toMatch(
      /statement_timeout is 10000, not 5000. Run readback migrate, .* RECONNECT/,
    );
    expect(await findings(through(logins.reads))).toEqual(['primary pooled-sessions']);
    expect(await findings(config)).toEqual([]);
  });

  test('a pooler that leads to another server', async () => {
    const [one] = config.replicas;
    const reads = poolers.primary.through(one!.url, logins.reads);
    const given = { ...config, replicas: [{ ...one!, pooled: { reads } }] };
    expect(await refusal(given)).toMatch(/^replica-1: .*it leads to another server than/);
  });
});

test('a server that starts before the pooler serves when that is there, and not through a login that is unfit', async () => {
  const late = await startPooler('primary', 'transaction');
  await late.stop();
  const through = (login?: { user: string; password: string }): DatabaseConfig => ({
    ...config,
    primary: { ...config.primary, pooled: { writes: late.through(config.primary.url, login) } },
  });
  const input = someone();
  const fit = await startServer({}, { ...databases, config: through(logins.writes) });
  const unfit = await startServer({}, { ...databases, config: through() });
  expect(await fit.failure(CreateUserDocument as never, { input })).toBe('PRIMARY_UNAVAILABLE');
  await late.start();
  await expect
    .poll(async () => (await fit.query(CreateUserDocument, { input })).errors.length, { timeout: 10_000 })
    .toBe(0);
  for (let attempt = 0; attempt < 3; attempt++)
    expect(await unfit.failure(CreateUserDocument as never, { input: someone() })).toBe('PRIMARY_UNAVAILABLE');
  await Promise.all([fit.stop(), unfit.stop()]);
  await late.remove();
});
