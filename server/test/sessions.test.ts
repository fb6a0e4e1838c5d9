import { setTimeout as sleep } from 'node:timers/promises';
import { print } from 'graphql';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ChangePasswordDocument, MeDocument, RenewTokenDocument } from '../../schema/generated/operations.ts';
import { startCluster } from './support/cluster.ts';
import { freshDatabases } from './support/databases.ts';
import { disableSubscription, holdApply } from './support/faults.ts';
import { PASSWORD, person, startProtected, type Person } from './support/people.ts';
import type { TestServer } from './support/server.ts';
import { connect } from './support/socket.ts';

/** How a session ends when the feed cannot say so, and when its token is in two hands. */
let server: TestServer;
let second: TestServer;
let admin: Person;
beforeAll(async () => {
  server = await startProtected();
  second = await startProtected({}, server.databases);
  admin = await person(server, true);
});
afterAll(async () => {
  await second.stop();
  await server.stop();
});

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const me = async (token: string, from = server) => {
  const { status, data, errors } = await from.query(MeDocument, {}, bearer(token));
  return errors.length > 0 ? `${status} ${errors[0]!.extensions.code}` : data.me?.username;
};
const createPost = ({ id }: Person) =>
  `mutation { createPost(input: { authorId: "${id}", title: "t", body: "" }) { bookmark } }`;
const codeOf = ({ payload, type }: any) =>
  (type === 'error' ? payload[0] : payload.errors?.[0])?.extensions.code ?? 'ok';

describe('while replication stands still', () => {
  const update = (id: string, input: string) =>
    `mutation { updateUser(id: "${id}", input: { ${input} }) { bookmark } }`;
  const endings: Record<string, (user: Person) => Promise<unknown>> = {
    'by an administrator': ({ id }) => server.query(update(id, 'isActive: false'), {}, admin.headers),
    'by another password': (user) =>
      server.query(ChangePasswordDocument, { current: PASSWORD, new: 'another horse' }, user.headers),
    'by their deletion': ({ id }) =>
      server.query(`mutation { deleteUser(id: "${id}") { bookmark } }`, {}, admin.headers),
    'in SQL': ({ id }) => server.databases.primary`update users set is_active = false where id = ${id}`,
    'on another server': ({ id }) => second.query(update(id, 'isActive: false'), {}, admin.headers),
  };
  let enable: () => Promise<void>;
  beforeEach(async () => {
    enable = async () => {};
    return () => enable();
  });

  for (const [how, end] of Object.entries(endings))
    test(`a user ended ${how} is out, on sockets too`, { timeout: 60_000 }, async () => {
      const user = await person(server);
      const [used, idle] = [connect(server, { token: user.token }), connect(server, { token: user.token })];
      await Promise.all([used.acknowledged, idle.acknowledged]);
      expect(codeOf(await used.run(createPost(user)))).toBe('ok');
      enable = await disableSubscription(server.databases.replicas[0]!);
      await end(user);
      const answers: string[] = [];
      const isOut = async () => {
        if (used.socket.readyState !== used.socket.OPEN) return true;
        const answer = await Promise.race([used.run(createPost(user)), used.closed]);
        answers.push(typeof answer === 'number' ? String(answer) : codeOf(answer));
        return answers.at(-1) !== 'ok';
      };
      await expect.poll(isOut, { timeout: 20_000, interval: 250 }).toBe(true);
      expect(await used.closed).toBe(4403);
      expect(await idle.closed).toBe(4403);
      expect(await me(user.token)).toBe('401 UNAUTHENTICATED');
    });
});

test('a replica that may lag for an hour does not keep anybody in', { timeout: 60_000 }, async () => {
  const lenient = await startProtected({ REPLICA_MAX_LAG_MS: 3_600_000 }, server.databases);
  const user = await person(lenient);
  const idle = connect(lenient, { token: user.token });
  await idle.acknowledged;
  const release = await holdApply(server.databases.replicas[0]!);
  try {
    await server.databases.primary`update users set is_active = false where id = ${user.id}`;
    const closed = await Promise.race([idle.closed, new Promise((resolve) => setTimeout(resolve, 40_000, 'open'))]);
    expect(closed).toBe(4403);
    expect(await me(user.token, lenient)).toBe('401 UNAUTHENTICATED');
  } finally {
    await release();
    await lenient.stop();
  }
});

test('with the primary away who is signed in reads on, and nobody writes', { timeout: 120_000 }, async () => {
  const cluster = await startCluster();
  const databases = await freshDatabases({ cluster });
  const settings = { MONITOR_INTERVAL_MS: 100, DB_CONNECT_TIMEOUT_MS: 1000 };
  const own = await startProtected(settings, databases);
  try {
    const user = await person(own);
    const socket = connect(own, { token: user.token });
    await socket.acknowledged;
    expect(await me(user.token, own)).toBe(user.username);
    await cluster.control.stopServer('primary');
    await expect.poll(async () => (await own.rest('GET', '/health')).body.writes, { timeout: 20_000 }).toBe(false);
    const until = performance.now() + 8000;
    while (performance.now() < until) {
      expect(await me(user.token, own)).toBe(user.username);
      expect(codeOf(await socket.run(print(MeDocument)))).toBe('ok');
      expect(codeOf(await socket.run(createPost(user)))).toBe('PRIMARY_UNAVAILABLE');
      await sleep(50);
    }
    await cluster.control.startServer('primary');
    await expect.poll(async () => codeOf(await socket.run(createPost(user))), { timeout: 30_000 }).toBe('ok');
  } finally {
    await own.stop();
    await databases.drop().catch(() => undefined);
    await cluster.stop();
  }
});

describe('a token is renewed once', () => {
  const renew = async (token: string, from = server): Promise<string> => {
    const { data, errors } = await from.query(RenewTokenDocument, {}, bearer(token));
    if (errors.length === 0) return data.renewToken.token;
    expect(errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }]);
    return 'UNAUTHENTICATED';
  };
  const session = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).sid as string;
  /** As if the renewals of its session had been some seconds earlier. */
  const age = (token: string) =>
    server.databases.primary`
      update readback.renewals set renewed_at = renewed_at - interval '11 s' where session = ${session(token)}`;

  test('again within 10 s it gives the same one, on any server; both are good', async () => {
    const { token, username } = await person(server);
    const next = await renew(token);
    expect(await Promise.all([renew(token), renew(token, second), renew(token, second)])).toEqual([next, next, next]);
    expect(await me(token)).toBe(username);
    expect(await me(next, second)).toBe(username);
    expect(await renew(next)).not.toBe(next);
  });

  test('after that it is good for nothing, on any server; its successor is', { timeout: 30_000 }, async () => {
    const { token, username, id } = await person(server);
    const socket = connect(server, { token });
    await socket.acknowledged;
    const next = await renew(token);
    await age(token);
    await expect.poll(() => me(token), { timeout: 15_000 }).toBe('401 UNAUTHENTICATED');
    await expect.poll(() => me(token, second), { timeout: 15_000 }).toBe('401 UNAUTHENTICATED');
    expect(await socket.closed).toBe(4401);
    expect(await connect(server, { token }).closed).toBe(4401);
    expect((await server.rest('GET', `/api/users/${id}`, undefined, bearer(token))).status).toBe(401);
    expect(await me(next)).toBe(username);
    const started = await startProtected({}, server.databases);
    expect([await me(token, started), await me(next, started)]).toEqual(['401 UNAUTHENTICATED', username]);
    await started.stop();
  });

  test('renewed once more after that, its session ends, and no other', { timeout: 30_000 }, async () => {
    const user = await person(server);
    const { data } = await server.query(
      `mutation { signIn(login: "${user.username}", password: "${PASSWORD}") { token } }`,
    );
    const other = (data as any).signIn.token as string;
    const next = await renew(user.token);
    const socket = connect(second, { token: next });
    await socket.acknowledged;
    await age(user.token);
    expect(await renew(user.token)).toBe('UNAUTHENTICATED');
    expect(await me(next)).toBe('401 UNAUTHENTICATED');
    expect(await renew(next)).toBe('UNAUTHENTICATED');
    expect(await socket.closed).toBe(4403);
    expect(await me(next, second)).toBe('401 UNAUTHENTICATED');
    expect(await me(other)).toBe(user.username);
  });

  test('over a websocket, too, and a socket goes on with the newest', { timeout: 30_000 }, async () => {
    const user = await person(server);
    const socket = connect(server, { token: user.token });
    await socket.acknowledged;
    const { payload } = await socket.run(print(RenewTokenDocument));
    await age(user.token);
    await expect.poll(() => me(user.token), { timeout: 15_000 }).toBe('401 UNAUTHENTICATED');
    expect(codeOf(await socket.run(createPost(user)))).toBe('ok');
    expect(await me(payload.data.renewToken.token)).toBe(user.username);
    socket.socket.close();
  });

  test('who was deactivated a moment ago renews nothing', async () => {
    const { id, token } = await person(server);
    await server.databases.primary`update users set is_active = false where id = ${id}`;
    expect(await renew(token)).toBe('UNAUTHENTICATED');
  });

  test('tokens of a server that knew no sessions are good until their end, and are taken in by a renewal', async () => {
    const user = await person(server);
    const [row] = await server.databases.primary<{ id: string; secret: Buffer }[]>`
      select id, secret from readback.signing_keys order by created_at desc limit 1`;
    const { SignJWT } = await import('jose');
    const old = await new SignJWT({ ver: 0, pos: '0/0', auth_time: Date.now() / 1000 - 5 })
      .setProtectedHeader({ alg: 'HS256', kid: row!.id })
      .setIssuer('readback')
      .setSubject(user.id)
      .setExpirationTime('10m')
      .sign(row!.secret);
    expect(await me(old)).toBe(user.username);
    const next = await renew(old);
    expect(await renew(old, second)).toBe(next);
    expect(await me(await renew(next))).toBe(user.username);
    await age(next);
    await expect.poll(() => me(old), { timeout: 15_000 }).toBe('401 UNAUTHENTICATED');
  });
});
