import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CreateUserDocument, UpdateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { decodeBookmark, encodeBookmark } from '../replication/bookmark.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { disableSubscription, holdApply, holdTable } from './support/faults.ts';
import { startServer, type TestServer } from './support/server.ts';

let databases: TestDatabases;
let server: TestServer;
let id: string;
let version = 0;

const settings = { BOOKMARK_WAIT_MS: 1000, MONITOR_INTERVAL_MS: 100, REPLICA_MAX_LAG_MS: 2000 };

beforeAll(async () => {
  databases = await freshDatabases({ replicas: 2 });
  server = await startServer(settings, databases);
  const input = { username: 'someone', email: 'someone@example.com', password: 'correct horse' };
  ({
    createUser: {
      user: { id },
    },
  } = (await server.query(CreateUserDocument, { input })).data);
});
afterAll(async () => {
  await server.stop();
  await databases.drop();
});
beforeEach(async () => {
  await expect.poll(async () => (await server.rest('GET', '/health')).body.status).toBe('healthy');
});

const write = async (confirm: 'COMMITTED' | 'REPLICATED' = 'COMMITTED') => {
  const { data, errors, ...rest } = await server.query(UpdateUserDocument, {
    id,
    input: { firstName: String(++version) },
    confirm,
  });
  expect(errors).toEqual([]);
  return { ...rest, ...data.updateUser };
};
const read = async (headers: Record<string, string> = {}) => {
  const { data, ...rest } = await server.query(UserDocument, { id }, headers);
  return { ...rest, version: Number(data?.user?.firstName) };
};

test('a bookmark comes in the payload, the extensions, the header and a cookie; each carries the next read past the write', async () => {
  const { bookmark, readback, headers } = await write();
  expect(readback).toMatchObject({ source: 'primary', bookmark, waitedMs: 0 });
  expect(headers.get('readback-bookmark')).toBe(bookmark);
  const cookie = headers.get('set-cookie')!;
  expect(cookie).toBe(`readback-write=${bookmark}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax`);
  const carriers: Record<string, string>[] = [{ 'readback-bookmark': bookmark }, { cookie: cookie.split(';')[0]! }];
  for (const carried of carriers) {
    const answer = await read(carried);
    expect(answer.version).toBe(version);
    expect(answer.readback.source).toMatch(/^replica-/);
    expect(answer.readback.fallback).toBeUndefined();
  }
});

test('several bookmarks may be sent: the greatest counts', async () => {
  const [older, newer] = [await write(), await write()];
  const answer = await read({ 'readback-bookmark': `${newer.bookmark}, ${older.bookmark}` });
  expect(answer.version).toBe(version);
  expect((await read({ 'readback-bookmark': `${older.bookmark},nonsense` })).status).toBe(400);
});

test("a read's cookie does not take the place of a write's", async () => {
  const { bookmark } = await write();
  const answer = await read({ cookie: `readback-write=${bookmark}` });
  expect(answer.version).toBe(version);
  expect(answer.headers.get('set-cookie')).toContain('readback-bookmark=');
  expect(answer.headers.get('set-cookie')).not.toContain('readback-write=');
});

test('a read hands on a bookmark at or past what it saw, and a cookie only when it moved', async () => {
  const { bookmark } = await write();
  const twice = async () => {
    const first = await read({ cookie: `readback-bookmark=${bookmark}` });
    const again = await read({ cookie: `readback-bookmark=${first.readback.bookmark}` });
    return { hasMoved: again.readback.bookmark !== first.readback.bookmark, cookie: again.headers.get('set-cookie') };
  };
  // A heartbeat in between moves it.
  await expect.poll(twice).toEqual({ hasMoved: false, cookie: null });
});

describe('a bookmark that was never given out is refused at once', () => {
  const identity = async () => {
    const [row] = await databases.primary`select cluster, timeline, flushed::text from readback.identity()`;
    return { cluster: BigInt(row!['cluster']), timeline: row!['timeline'] as number };
  };
  const forged: [string, () => Promise<string>][] = [
    ['nonsense', async () => 'nonsense'],
    ['too long', async () => 'A'.repeat(5000)],
    [
      'of a later version',
      async () =>
        Buffer.from(encodeBookmark(await identity(), 1n), 'base64url')
          .fill(2, 0, 1)
          .toString('base64url'),
    ],
    ['of another cluster', async () => encodeBookmark({ ...(await identity()), cluster: 1n }, 1n)],
    ['of another timeline', async () => encodeBookmark({ ...(await identity()), timeline: 99 }, 1n)],
    ["beyond the primary's end", async () => encodeBookmark(await identity(), 1n << 60n)],
  ];
  for (const [name, make] of forged) {
    test(name, async () => {
      const bookmark = await make();
      const overHeader = await read({ 'readback-bookmark': bookmark });
      expect(overHeader).toMatchObject({ status: 400, errors: [{ extensions: { code: 'BAD_BOOKMARK' } }] });
      const rest = await server.rest('GET', '/api/users', undefined, { cookie: `readback-bookmark=${bookmark}` });
      // Cookies know no ports: it may be of another installation on this host.
      if (name === 'of another cluster') return expect(rest.status).toBe(200);
      expect(rest).toMatchObject({ status: 400, body: { error: 'BAD_BOOKMARK' } });
      return expect(rest.headers.get('set-cookie')).toContain('readback-bookmark=; Path=/; Max-Age=0');
    });
  }

  test('an unknown consistency', async () => {
    expect(await server.failure(UserDocument, { id }, { 'readback-consistency': 'sometimes' })).toBe('BAD_USER_INPUT');
  });
});

test('strong sees what another client has just written', async () => {
  for (let n = 0; n < 50; n++) {
    await write();
    expect((await read({ 'readback-consistency': 'strong' })).version).toBe(version);
  }
});

describe('with the apply worker of every replica held back', () => {
  let release: (() => Promise<void>)[];
  beforeEach(async () => {
    const last = [{ first_name: version === 0 ? null : String(version) }];
    for (const replica of databases.replicas)
      await expect.poll(() => replica`select first_name from users where id = ${id}`).toEqual(last);
    release = await Promise.all(databases.replicas.map(holdApply));
    return async () => {
      for (const undo of release) await undo();
    };
  });

  test('a session read answers from the primary within the bound, an eventual one at once from a replica', async () => {
    const { bookmark } = await write();
    const session = await read({ 'readback-bookmark': bookmark });
    expect(session).toMatchObject({
      version,
      readback: { source: 'primary', fallback: 'no replica was there in time' },
    });
    expect(session.readback.waitedMs).toBeGreaterThan(settings.BOOKMARK_WAIT_MS - 20);
    const eventual = await read({ 'readback-bookmark': bookmark, 'readback-consistency': 'eventual' });
    expect(eventual.readback).toMatchObject({ source: expect.stringMatching(/^replica-/), waitedMs: 0 });
    expect(eventual.version).toBe(version - 1);
  });

  test('the healthy replica takes over where there is one', async () => {
    await release.pop()!();
    for (let n = 0; n < 5; n++) {
      const { bookmark } = await write();
      const answer = await read({ 'readback-bookmark': bookmark });
      expect(answer).toMatchObject({ version, readback: { source: 'replica-2' } });
    }
  });

  test('once it is known to lag, it costs a read nothing', async () => {
    await write();
    await expect
      .poll(
        async () => (await server.rest('GET', '/health')).body.replicas.map(({ state }: { state: string }) => state),
        { timeout: 10_000 },
      )
      .toEqual(['LAGGING', 'LAGGING']);
    const answer = await read();
    expect(answer.readback).toMatchObject({ source: 'primary', waitedMs: 0, fallback: 'no replica is well' });
    expect((await server.rest('GET', '/health')).status).toBe(503);
  });

  test('confirm: REPLICATED answers COMMITTED at the bound, and the write is there, once', async () => {
    const before = version;
    const { data } = await server.query(CreateUserDocument, {
      input: { username: 'unconfirmed', email: 'un@example.com', password: 'correct horse' },
      confirm: 'REPLICATED',
    });
    expect(data.createUser.confirmation).toMatchObject({ level: 'COMMITTED', replica: null });
    expect(data.createUser.confirmation.waitedMs).toBeGreaterThan(settings.BOOKMARK_WAIT_MS - 20);
    expect(await databases.primary`select count(*)::int from users where username = 'unconfirmed'`).toEqual([
      { count: 1 },
    ]);
    expect(version).toBe(before);
  });
});

test('confirm: REPLICATED answers when a replica has the write', async () => {
  const { data } = await server.query(CreateUserDocument, {
    input: { username: 'confirmed', email: 'co@example.com', password: 'correct horse' },
    confirm: 'REPLICATED',
  });
  const { level, replica } = data.createUser.confirmation;
  expect(level).toBe('REPLICATED');
  const rows = await databases.replicas[
    replica === 'replica-1' ? 0 : 1
  ]!`select from users where username = 'confirmed'`;
  expect(rows).toHaveLength(1);
});

test('a disabled subscription is passed over at once, and comes back by itself', async () => {
  const enable = await Promise.all(databases.replicas.map(disableSubscription));
  const states = async () =>
    (await server.rest('GET', '/health')).body.replicas.map(({ state }: { state: string }) => state);
  await expect.poll(states).toEqual(['DISABLED', 'DISABLED']);
  const { bookmark } = await write();
  expect(await read({ 'readback-bookmark': bookmark })).toMatchObject({
    version,
    readback: { source: 'primary', waitedMs: 0, fallback: 'no replica is well' },
  });
  for (const undo of enable) await undo();
  await expect.poll(states, { timeout: 10_000 }).toEqual(['STREAMING', 'STREAMING']);
  // A worker that streams may still be on its way to the write.
  const source = async () => (await read({ 'readback-bookmark': bookmark })).readback.source;
  await expect.poll(source).toMatch(/^replica-/);
});

test('reads that fall on the primary have a budget, past which they are refused', async () => {
  const budgeted = await startServer({ ...settings, PRIMARY_READS_MAX: 2 }, databases);
  const enable = await Promise.all(databases.replicas.map(disableSubscription));
  await expect.poll(async () => (await budgeted.rest('GET', '/health')).body.status).toBe('unhealthy');
  const release = await holdTable(databases.primary);
  const answers = Array.from({ length: 6 }, () => budgeted.query(UserDocument, { id }));
  const refused: string[] = [];
  for (const answer of answers)
    void answer.then(({ errors }) => errors.forEach(({ extensions }) => refused.push(extensions.code)));
  await expect.poll(() => refused.length).toBe(4);
  expect(refused).toEqual(Array(4).fill('REPLICA_UNAVAILABLE'));
  await release();
  expect((await Promise.all(answers)).filter(({ data }) => data?.user?.id === id)).toHaveLength(2);
  for (const undo of enable) await undo();
  await budgeted.stop();
});

test('a bookmark reads back as what it was made of', () => {
  const identity = { cluster: 7_711_294_962_252_663_706n, timeline: 3 };
  expect(decodeBookmark(encodeBookmark(identity, 0x16_b374d848n), { ...identity, ends: new Map() })).toBe(
    0x16_b374d848n,
  );
});

test('a bookmark of an earlier timeline is good up to where that one ended', () => {
  const history = {
    cluster: 7n,
    timeline: 3,
    ends: new Map([
      [1, 100n],
      [2, 200n],
    ]),
  };
  const read = (timeline: number, lsn: bigint) =>
    decodeBookmark(encodeBookmark({ cluster: 7n, timeline }, lsn), history);
  expect([read(1, 100n), read(2, 200n), read(3, 999n)]).toEqual([100n, 200n, 999n]);
  for (const [timeline, lsn] of [
    [1, 101n],
    [2, 201n],
    [4, 1n],
  ] as const)
    expect(() => read(timeline, lsn)).toThrow("not in the primary's history");
});
