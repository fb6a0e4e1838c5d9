import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ChangesDocument,
  CreatePostDocument,
  CreateUserDocument,
  DeleteUserDocument,
  MeDocument,
  ReplicationDocument,
  SignInDocument,
  UpdateUserDocument,
  UserDocument,
  UsersDocument,
  UsersWithPostsDocument,
  type ChangesSubscription,
} from '../../../schema/generated/operations.ts';
import { connectTo, type TestClient } from './server.ts';
import { subscribeTo } from './subscribe.ts';

/** Two servers in protected mode over a primary and two replicas, wherever they run. */
export interface System {
  /** Of both servers; the same after a restart. */
  urls: string[];
  administrator: { login: string; password: string };
  stopServer: (index: number) => Promise<void>;
  startServer: (index: number) => Promise<void>;
  killReplica: (name: string) => Promise<void>;
  startReplica: (name: string) => Promise<void>;
}

/** What every installation does, as its clients see it. */
export function acceptance(system: () => System): void {
  let servers: [TestClient, TestClient];
  let token: string;
  let admin: { authorization: string };
  let serial = 0;

  beforeAll(async () => {
    servers = system().urls.map(connectTo) as typeof servers;
    const { data } = await servers[0].query(SignInDocument, system().administrator);
    ({ token } = data.signIn);
    admin = { authorization: `Bearer ${token}` };
  });
  afterAll(() => Promise.all(servers.map((server) => server.dispose())));

  const somebody = () => {
    const username = `somebody-${++serial}`;
    return { username, email: `${username}@example.com`, password: 'correct horse' };
  };
  async function createUser(server: TestClient): Promise<{ id: string; bookmark: string }> {
    const { data, errors } = await server.query(CreateUserDocument, { input: somebody() }, admin);
    expect(errors).toEqual([]);
    return { id: data.createUser.user.id, bookmark: data.createUser.bookmark };
  }
  const healthOf = async (server: TestClient) => (await server.rest('GET', '/health')).body.status as string;
  const allHealthy = () => expect.poll(() => Promise.all(servers.map(healthOf)), PATIENCE).toEqual(HEALTHY);

  test('nobody gets in without signing in, and a token of one server is good on the other', async () => {
    expect(await servers[0].failure(UsersDocument)).toBe('UNAUTHENTICATED');
    expect((await servers[1].rest('GET', '/api/users')).status).toBe(401);
    const { data } = await servers[1].query(MeDocument, {}, admin);
    expect(data.me!.username).toBe(system().administrator.login);
  });

  test('REST: create, read, replace, patch, delete', async () => {
    const { username, email, password } = somebody();
    const [one, other] = servers;
    const created = await one.rest('POST', '/api/users', { username, email, password, first_name: 'Jo' }, admin);
    expect(created).toMatchObject({ status: 201, body: { success: true, data: { username, first_name: 'Jo' } } });
    const path = `/api/users/${created.body.data.id}`;
    const after = (answer: { headers: Headers }) => ({
      ...admin,
      'readback-bookmark': answer.headers.get('readback-bookmark')!,
    });
    expect((await other.rest('GET', path, undefined, after(created))).body.data).toEqual(created.body.data);
    const put = await other.rest('PUT', path, { username, email }, admin);
    expect(put.body.data).toMatchObject({ username, first_name: null });
    const patched = await one.rest('PATCH', path, { last_name: 'Doe' }, admin);
    expect(patched.body.data).toMatchObject({ username, first_name: null, last_name: 'Doe' });
    const deleted = await one.rest('DELETE', path, undefined, admin);
    expect((await other.rest('GET', path, undefined, after(deleted))).status).toBe(404);
  });

  test('GraphQL: create, read, update, relate, list, delete', async () => {
    const [one, other] = servers;
    const { id } = await createUser(one);
    await one.query(UpdateUserDocument, { id, input: { firstName: 'Jo' } }, admin);
    const posted = await other.query(CreatePostDocument, { input: { title: 'A', body: 'B', authorId: id } }, admin);
    expect(posted.errors).toEqual([]);
    const after = { ...admin, 'readback-bookmark': posted.data.createPost.bookmark };
    const listed = await one.query(UsersWithPostsDocument, { users: 1, first: 5 }, after);
    expect(listed.data.users.nodes[0]).toMatchObject({ id, posts: { totalCount: 1, nodes: [{ title: 'A' }] } });
    expect((await one.query(UserDocument, { id }, after)).data.user!.firstName).toBe('Jo');
    const deleted = await one.query(DeleteUserDocument, { id }, admin);
    const gone = { ...admin, 'readback-bookmark': deleted.data.deleteUser.bookmark };
    expect((await other.query(UserDocument, { id }, gone)).data.user).toBeNull();
  });

  test('who writes on one server reads it on the other, from a replica', async () => {
    const [one, other] = servers;
    const { id } = await createUser(one);
    for (let n = 0; n < 30; n++) {
      const { data } = await one.query(UpdateUserDocument, { id, input: { firstName: `n${n}` } }, admin);
      const after = { ...admin, 'readback-bookmark': data.updateUser.bookmark };
      const { data: read, readback } = await other.query(UserDocument, { id }, after);
      expect(read.user!.firstName).toBe(`n${n}`);
      expect(readback.source).toMatch(/^replica-/);
    }
  });

  /** Takes changes of users until one is of `key`; gives the keys on the way, and the last cursor. */
  async function changesUntil(server: TestClient, key: () => Promise<string>, after?: string) {
    const events = subscribeTo<ChangesSubscription>(server.websocket(token), ChangesDocument, {
      tables: ['users'],
      after,
    });
    const keys: string[] = [];
    let cursor = after;
    let last: string | undefined;
    while (last === undefined || keys.at(-1) !== last) {
      const { changes } = await events.next();
      cursor = changes.cursor;
      if (changes.__typename === 'UserChange') keys.push(changes.key);
      else if (changes.__typename === 'CaughtUp') last ??= await key();
    }
    await events.end();
    return { keys, cursor };
  }

  test('a subscriber whose server stops goes on at the other, and misses nothing', async () => {
    const [one, other] = servers;
    const before: string[] = [];
    const write = async (server: TestClient, ids: string[]) => {
      for (let n = 0; n < 5; n++) ids.push((await createUser(server)).id);
      return ids.at(-1)!;
    };
    const first = await changesUntil(one, () => write(one, before));
    // What was written before may be read only now, from a replica that is behind the other.
    expect(first.keys.slice(-before.length)).toEqual(before);
    await system().stopServer(0);
    const meanwhile: string[] = [];
    await write(other, meanwhile);
    const second = await changesUntil(other, () => write(other, meanwhile), first.cursor);
    expect(second.keys).toEqual(meanwhile);
    await system().startServer(0);
    await allHealthy();
  });

  test('one replica dies: reads and change events go on; it comes back, and catches up', async () => {
    const [one, other] = servers;
    await allHealthy();
    await system().killReplica('replica-1');
    const { id, bookmark } = await createUser(one);
    const after = { ...admin, 'readback-bookmark': bookmark };
    await expect.poll(() => healthOf(other), PATIENCE).toBe('degraded');
    for (let n = 0; n < 10; n++) {
      const { data, readback } = await other.query(UserDocument, { id }, after);
      expect(data.user!.id).toBe(id);
      expect(readback.source).toBe('replica-2');
    }
    const written: string[] = [];
    const writeOne = async () => (written.push((await createUser(other)).id), written[0]!);
    expect((await changesUntil(other, writeOne)).keys.slice(-1)).toEqual(written);
    await system().startReplica('replica-1');
    await allHealthy();
    const { data } = await one.query(ReplicationDocument, {}, admin);
    expect(data.replication.replicas.map(({ state }) => state)).toEqual(['STREAMING', 'STREAMING']);
  });
}

const PATIENCE = { timeout: 30_000, interval: 100 };
const HEALTHY = ['healthy', 'healthy'];
