import { print } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ChangePasswordDocument,
  MeDocument,
  RenewTokenDocument,
  SignInDocument,
  SignOutDocument,
} from '../../schema/generated/operations.ts';
import { adminCreateCommand } from '../cli/admin.ts';
import { readConfig } from '../boot/config.ts';
import { testConfig } from './support/databases.ts';
import { addUser, PASSWORD, person, signIn, startProtected, type Person } from './support/people.ts';
import { processorMs } from './support/processor.ts';
import { startServer, type TestServer } from './support/server.ts';
import { connect } from './support/socket.ts';

let server: TestServer;
let admin: Person;
beforeAll(async () => {
  server = await startProtected({ SIGN_IN_FAILURES_PER_ADDRESS_MAX: 1000 });
  admin = await person(server, true);
});
afterAll(() => server.stop());

const me = async (token: string, from = server) => {
  const { status, data, errors } = await from.query(MeDocument, {}, { authorization: `Bearer ${token}` });
  return errors.length > 0 ? `${status} ${errors[0]!.extensions.code}` : data.me?.username;
};

describe('signing in', () => {
  test('by username or email; the token says who it is, over HTTP and websocket', async () => {
    const user = await addUser(server);
    for (const login of [user.username, `${user.username}@example.com`]) {
      const { data } = await server.query(SignInDocument, { login, password: PASSWORD });
      expect(data.signIn).toMatchObject({
        isAdmin: false,
        user: { id: user.id, email: `${user.username}@example.com` },
      });
      expect(await me(data.signIn.token)).toBe(user.username);
      for (const params of [{ token: data.signIn.token }, { authorization: `Bearer ${data.signIn.token}` }]) {
        const { socket, acknowledged, run } = connect(server, params);
        await acknowledged;
        expect(await run(print(MeDocument))).toMatchObject({ payload: { data: { me: { id: user.id } } } });
        socket.close();
      }
    }
  });

  test('nobody, another password and who is deactivated look the same, and take about as long', async () => {
    const [user, gone] = [await addUser(server), await addUser(server)];
    await server.databases.primary`update users set is_active = false where id = ${gone.id}`;
    const attempts = [
      { login: user.username, password: 'wrong horse' },
      { login: 'nobody-at-all', password: PASSWORD },
      { login: gone.username, password: PASSWORD },
    ];
    const answers: string[] = [];
    const ask = (attempt: (typeof attempts)[number]) =>
      processorMs(async () => {
        const { status, data, errors } = await server.query(SignInDocument, attempt);
        answers.push(JSON.stringify({ status, data, errors }));
      });
    const took: number[] = [];
    for (const attempt of attempts) took.push(Math.min(await ask(attempt), await ask(attempt), await ask(attempt)));
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toContain('UNAUTHENTICATED');
    expect(Math.min(...took)).toBeGreaterThan(Math.max(...took) / 5);
  });

  test('wrong ones make the account wait at that address, and only there', async () => {
    const own = await startProtected({ SIGN_IN_FAILURES_MAX: 3, TRUST_PROXY: ['127.0.0.1'] }, server.databases);
    try {
      const user = await addUser(own);
      const attempt = (password: string, from: string) =>
        own.failure(SignInDocument, { login: user.username, password }, { 'x-forwarded-for': from });
      const codes = await Promise.all(Array.from({ length: 8 }, () => attempt('wrong horse', '192.0.2.1')));
      expect(codes.filter((code) => code === 'UNAUTHENTICATED')).toHaveLength(3);
      expect(codes.filter((code) => code === 'RATE_LIMITED')).toHaveLength(5);
      expect(await attempt(PASSWORD, '192.0.2.1')).toBe('RATE_LIMITED');
      const login = { login: user.username, password: PASSWORD };
      expect((await own.query(SignInDocument, login, { 'x-forwarded-for': '192.0.2.2' })).errors).toEqual([]);
    } finally {
      await own.stop();
    }
  });

  test('too many passwords at once are refused at once', async () => {
    const own = await startProtected({ HASH_CONCURRENCY: 1, HASH_QUEUE: 0 }, server.databases);
    try {
      const logins = Array.from({ length: 6 }, (_, index) => ({ login: `nobody-${index}`, password: PASSWORD }));
      const codes = await Promise.all(logins.map((login) => own.failure(SignInDocument, login)));
      expect(new Set(codes)).toEqual(new Set(['UNAUTHENTICATED', 'RATE_LIMITED']));
    } finally {
      await own.stop();
    }
  });
});

describe('tokens', () => {
  test('what is none of ours is refused, on every way in', async () => {
    const { token } = await person(server);
    const [head, body, signature] = token.split('.') as [string, string, string];
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    for (const bad of [
      'x',
      `${head}.${body}.${signature.toLowerCase()}`,
      `${none}.${body}.`,
      `${head}.e30.${signature}`,
    ]) {
      expect(await me(bad)).toBe('401 UNAUTHENTICATED');
      const rest = await server.rest('GET', '/api/users', undefined, { authorization: `Bearer ${bad}` });
      expect(rest).toMatchObject({ status: 401, body: { success: false, error: 'UNAUTHENTICATED' } });
      expect(await connect(server, { token: bad }).closed).toBe(4401);
    }
  });

  test('end after their time, and a socket with its token, unless it is renewed', async () => {
    const own = await startProtected({ ACCESS_TOKEN_TTL_MS: 3000 }, server.databases);
    try {
      const user = await addUser(own);
      const [left, kept] = [await signIn(own, user), await signIn(own, user)];
      const sockets = [connect(own, { token: left.token }), connect(own, { token: kept.token })];
      await Promise.all(sockets.map(({ acknowledged }) => acknowledged));
      const started = performance.now();
      const renewing = setInterval(() => void sockets[1]!.run(print(RenewTokenDocument)), 300);
      expect(await sockets[0]!.closed).toBe(4401);
      expect(performance.now() - started).toBeLessThan(4500);
      expect(await me(left.token, own)).toBe('401 UNAUTHENTICATED');
      // The token that the other socket came with has ended, too.
      await expect.poll(() => me(kept.token, own)).toBe('401 UNAUTHENTICATED');
      expect(await sockets[1]!.run(print(MeDocument))).toMatchObject({ payload: { data: { me: { id: user.id } } } });
      clearInterval(renewing);
      expect(await sockets[1]!.closed).toBe(4401);
    } finally {
      await own.stop();
    }
  });

  test('a renewed one is good for longer', async () => {
    const user = await person(server);
    const { data } = await server.query(RenewTokenDocument, {}, user.headers);
    expect(await me(data.renewToken.token)).toBe(user.username);
    expect(data.renewToken.expiresAt > new Date().toISOString()).toBe(true);
  });

  test('a key that an operator deletes ends its tokens; other servers take what any of them has signed', async () => {
    const own = await startProtected();
    const user = await person(own);
    const first = await startProtected({}, own.databases);
    expect(await me(user.token, first)).toBe(user.username);
    await first.stop();
    await own.databases.primary`delete from readback.signing_keys`;
    const second = await startProtected({}, own.databases);
    expect(await me(user.token, second)).toBe('401 UNAUTHENTICATED');
    await second.stop();
    await own.stop();
  });
});

describe('tokens and sockets end as soon as the replica says so:', () => {
  const endings: Record<string, (user: Person) => Promise<unknown>> = {
    'the password is changed': async (user) => {
      const variables = { current: PASSWORD, new: 'another horse' };
      const { data, errors } = await server.query(ChangePasswordDocument, variables, user.headers);
      expect(errors).toEqual([]);
      expect(await me(data.changePassword.session.token)).toBe(user.username);
    },
    'the user signs out': async (user) =>
      expect((await server.query(SignOutDocument, {}, user.headers)).errors).toEqual([]),
    'an administrator sets another password': ({ id }) =>
      server.query(
        `mutation { updateUser(id: "${id}", input: { password: "another horse" }) { bookmark } }`,
        {},
        admin.headers,
      ),
    'the user is deactivated': ({ id }) =>
      server.query(`mutation { updateUser(id: "${id}", input: { isActive: false }) { bookmark } }`, {}, admin.headers),
    'the user is deleted': ({ id }) =>
      server.query(`mutation { deleteUser(id: "${id}") { bookmark } }`, {}, admin.headers),
    'somebody changes the row in SQL': ({ id }) =>
      server.databases.primary`update users set password_hash = 'x' where id = ${id}`,
    'the rank changes': ({ id }) => server.databases.primary`update users set is_admin = true where id = ${id}`,
  };
  for (const [how, end] of Object.entries(endings)) {
    test(how, async () => {
      const user = await person(server);
      const sockets = [connect(server, { token: user.token }), connect(server, { token: user.token })];
      await Promise.all(sockets.map(({ acknowledged }) => acknowledged));
      expect(await me(user.token)).toBe(user.username);
      const started = performance.now();
      await end(user);
      expect(await Promise.all(sockets.map(({ closed }) => closed))).toEqual([4403, 4403]);
      expect(performance.now() - started).toBeLessThan(2000);
      expect(await me(user.token)).toBe('401 UNAUTHENTICATED');
      expect(await connect(server, { token: user.token }).closed).toBe(4401);
    });
  }

  test('what happened while a server was down it knows from the row', async () => {
    const user = await person(server);
    const first = await startProtected({}, server.databases);
    expect(await me(user.token, first)).toBe(user.username);
    await first.stop();
    await server.databases.primary`update users set is_active = false where id = ${user.id}`;
    const second = await startProtected({}, server.databases);
    expect(await me(user.token, second)).toBe('401 UNAUTHENTICATED');
    await second.stop();
  });

  test('the present password is asked for, and a wrong one counts', async () => {
    const user = await person(server);
    const change = () => server.failure(ChangePasswordDocument, { current: 'x', new: 'another horse' }, user.headers);
    expect(await change()).toBe('FORBIDDEN current');
    for (let n = 0; n < 9; n++) await change();
    expect(await change()).toBe('RATE_LIMITED');
    expect(await me(user.token)).toBe(user.username);
  });
});

describe('modes', () => {
  const fault = (environment: Record<string, string>) => {
    try {
      return readConfig(environment).ACCESS;
    } catch (error) {
      return (error as Error).message;
    }
  };

  test('open on the embedded pair, protected where databases are configured, open on loopback alone', () => {
    const databases = { PRIMARY_URL: 'postgres://a@b/c', REPLICA_URLS: 'postgres://a@d/c' };
    expect(fault({})).toBe('open');
    expect(fault(databases)).toBe('protected');
    expect(fault({ ...databases, HOST: '0.0.0.0' })).toBe('protected');
    expect(fault({ ...databases, ACCESS: 'open', HOST: '::1' })).toBe('open');
    for (const HOST of ['0.0.0.0', '::', '192.0.2.1', 'example.com']) {
      expect(fault({ HOST })).toMatch(/^ACCESS=open .* listens on loopback alone, and HOST is .*ACCESS=protected/);
    }
  });

  test('in open mode a token that is not good counts as none', async () => {
    const open = await startServer({}, server.databases);
    expect(await me('x', open)).toBeUndefined();
    expect(await me(admin.token, open)).toBe(admin.username);
    await open.stop();
  });
});

test('an administrator is made on the primary, by the rules of the API', async () => {
  const said: string[] = [];
  const config = { ...testConfig(), databases: server.databases.config };
  const make = (options: object) =>
    adminCreateCommand(
      { username: 'first-admin', email: 'first@example.com', password: PASSWORD, ...options },
      config,
      (line) => said.push(line),
    );
  await make({});
  expect(said).toEqual(['first-admin is an administrator.']);
  const { data } = await server.query(SignInDocument, { login: 'first-admin', password: PASSWORD });
  expect(data.signIn.isAdmin).toBe(true);
  await expect(make({})).rejects.toThrow('This username is taken: choose another.');
  await expect(make({ email: 'x', password: '1' })).rejects.toThrow(/email must be.*\n?.*password must have/s);
});
