import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { print } from 'graphql';
import { WebSocket } from 'ws';
import {
  CreateUserDocument,
  DeleteUserDocument,
  ReplicationChangedDocument,
  SubscriptionsDocument,
  UpdateUserDocument,
  UserChangedDocument,
  type UserChangedSubscription,
} from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
beforeAll(async () => void (server = await startServer()));
afterAll(() => server.stop());

let serial = 0;
const create = async () => {
  const username = `ws-${++serial}`;
  const { data } = await server.query(CreateUserDocument, {
    input: { username, email: `${username}@example.com`, password: 'correct horse' },
  });
  return data.createUser;
};

/** Subscribes, and returns when the server has it: a query after it on the same socket was answered. */
async function subscribe(variables: object = {}) {
  const client = server.websocket();
  const events = client.iterate<UserChangedSubscription>({
    query: print(UserChangedDocument),
    variables: { ...variables },
  });
  for await (const answer of client.iterate({ query: '{ __typename }' }))
    expect(answer.data).toEqual({ __typename: 'Query' });
  return {
    next: async () => {
      const { value } = await events.next();
      expect(value.errors).toBeUndefined();
      return value.data.userChanged as UserChangedSubscription['userChanged'];
    },
    close: async () => {
      await events.return?.();
      await client.dispose();
    },
  };
}

test('a change arrives with its images, and a read that carries its bookmark sees it', async () => {
  const events = await subscribe();
  const { user } = await create();
  const inserted = await events.next();
  expect(inserted).toMatchObject({ operation: 'INSERT', table: 'users', key: user.id, before: null, user });
  expect(inserted.changedFields.toSorted()).toEqual(Object.keys(user).toSorted());
  expect(inserted.lagMs).toBeGreaterThan(0);
  expect(Date.parse(inserted.appliedAt) - Date.parse(inserted.committedAt)).toBeCloseTo(inserted.lagMs, -1);

  await server.query(UpdateUserDocument, { id: user.id, input: { firstName: 'Grace', isActive: false } });
  const updated = await events.next();
  expect(updated).toMatchObject({ operation: 'UPDATE', before: user, user: { firstName: 'Grace', isActive: false } });
  expect(updated.changedFields.toSorted()).toEqual(['firstName', 'isActive', 'updatedAt']);
  const read = await server.query(
    `{ user(id: "${user.id}") { firstName } }`,
    {},
    { 'readback-bookmark': updated.bookmark },
  );
  expect(read.data).toEqual({ user: { firstName: 'Grace' } });

  await server.query(DeleteUserDocument, { id: user.id });
  expect(await events.next()).toMatchObject({
    operation: 'DELETE',
    key: user.id,
    user: null,
    before: { firstName: 'Grace' },
  });
  await events.close();
});

test('id and operations choose what arrives', async () => {
  const [one, other] = [await create(), await create()];
  const events = await subscribe({ id: one.user.id.toUpperCase(), operations: ['DELETE'] });
  await server.query(DeleteUserDocument, { id: other.user.id });
  await server.query(UpdateUserDocument, { id: one.user.id, input: { firstName: 'x' } });
  await server.query(DeleteUserDocument, { id: one.user.id });
  expect(await events.next()).toMatchObject({ operation: 'DELETE', key: one.user.id });
  await events.close();
});

test('changes of one transaction arrive in its order, those written past the server too', async () => {
  const events = await subscribe();
  await server.databases.primary.begin(async (sql) => {
    await sql`insert into users (username, email, password_hash) values ('past-1', 'p1@example.com', '-'), ('past-2', 'p2@example.com', '-')`;
    await sql`update users set first_name = 'x' where username = 'past-1'`;
  });
  expect(
    [await events.next(), await events.next(), await events.next()].map(
      ({ operation, user }) => `${operation} ${user!.username}`,
    ),
  ).toEqual(['INSERT past-1', 'INSERT past-2', 'UPDATE past-1']);
  await events.close();
});

test('replication tells its state at once', async () => {
  const client = server.websocket();
  for await (const { data } of client.iterate({ query: print(ReplicationChangedDocument) })) {
    expect(data).toMatchObject({
      replication: { primary: { reachable: true }, replicas: [{ name: 'replica-1', state: 'STREAMING' }] },
    });
    break;
  }
});

test('queries and mutations run over the websocket, with the same errors and extensions', async () => {
  const client = server.websocket();
  const run = async (query: string, extensions?: Record<string, unknown>) => {
    for await (const answer of client.iterate({ query, ...(extensions && { extensions }) })) return answer;
    throw new Error('no answer');
  };
  const { bookmark, user } = await create();
  const read = await run(`{ user(id: "${user.id}") { username } }`, { bookmark });
  expect(read).toMatchObject({
    data: { user: { username: user.username } },
    extensions: { readback: { source: 'replica-1', bookmark: expect.any(String) } },
  });
  expect((await run('{ user(id: "1") { id } }')).errors).toMatchObject([
    { extensions: { code: 'BAD_USER_INPUT', field: 'id' } },
  ]);
  await expect(run('{ user(id: "1") { id } }', { bookmark: 'nonsense' })).rejects.toMatchObject([
    { extensions: { code: 'BAD_BOOKMARK' } },
  ]);
  await expect(run('subscription { userChanged { nothing } }')).rejects.toMatchObject([
    { extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } },
  ]);
  expect((await run('subscription { userChanged(id: "1") { key } }')).errors).toMatchObject([
    { extensions: { code: 'BAD_USER_INPUT', field: 'id' } },
  ]);
});

test('closed sockets and ended subscriptions release everything', async () => {
  const before = server.subscribers();
  const open = await Promise.all([subscribe(), subscribe(), subscribe()]);
  expect(server.subscribers()).toBe(before + 3);
  for (const events of open) await events.close();
  await expect.poll(() => server.subscribers()).toBe(before);
});

test('a socket on another path is refused', async () => {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/elsewhere`, 'graphql-transport-ws');
  const error = await new Promise<Error>((resolve) => socket.on('error', resolve));
  expect(error.message).toContain('404');
});

describe('what a client does with an id while its operation is being opened', () => {
  test('subscribe, complete, subscribe with one id: each event comes once, and nothing stays', async () => {
    const before = server.subscribers();
    const socket = await raw();
    for (let n = 0; n < 20; n++) {
      if (n > 0) socket.send({ id: 'a', type: 'complete' });
      socket.send({ id: 'a', type: 'subscribe', payload: { query: 'subscription { userChanged { key } }' } });
    }
    await socket.answer('{ __typename }');
    await expect.poll(() => server.subscribers()).toBe(before + 1);
    const { user } = await create();
    // Events leave in order: what this one was doubled by would have come before the next one.
    const { user: next } = await create();
    const keys = () => socket.heard.flatMap(({ id, payload }) => (id === 'a' ? [payload.data.userChanged.key] : []));
    await expect.poll(keys).toContain(next.id);
    // What tests before this one have made may still be on its way.
    expect(keys().filter((key) => key === user.id || key === next.id)).toEqual([user.id, next.id]);
    await socket.close();
    await expect.poll(() => server.subscribers()).toBe(before);
    expect(await live()).toBe(0);
  });

  test('completed at once, it leaves nothing', async () => {
    const before = server.subscribers();
    const socket = await raw();
    for (let n = 0; n < 20; n++) {
      socket.send({ id: `${n}`, type: 'subscribe', payload: { query: 'subscription { userChanged { key } }' } });
      socket.send({ id: `${n}`, type: 'complete' });
    }
    await socket.answer('{ __typename }');
    await expect.poll(() => server.subscribers()).toBe(before);
    expect(await live()).toBe(0);
    await socket.close();
  });

  test('the socket closed at once, it leaves nothing', async () => {
    const before = server.subscribers();
    for (let n = 0; n < 20; n++) {
      const socket = await raw();
      socket.send({ id: 'a', type: 'subscribe', payload: { query: 'subscription { userChanged { key } }' } });
      await socket.close();
    }
    await create();
    await expect.poll(() => server.subscribers()).toBe(before);
    expect(await live()).toBe(0);
  });

  test('used twice, the socket is closed with 4409', async () => {
    const socket = await raw();
    for (const query of ['{ __typename }', 'subscription { userChanged { key } }'])
      socket.send({ id: 'a', type: 'subscribe', payload: { query } });
    expect(await socket.closed).toBe(4409);
  });

  test('the answer of an operation that was completed goes to nobody, and ends nothing of the next one', async () => {
    const socket = await raw();
    socket.send({ id: 'a', type: 'subscribe', payload: { query: '{ users { totalCount } }' } });
    socket.send({ id: 'a', type: 'complete' });
    socket.send({ id: 'a', type: 'subscribe', payload: { query: 'subscription { userChanged { key } }' } });
    await socket.answer('{ users { totalCount } }');
    const { user } = await create();
    const told = () => socket.heard.filter(({ id }) => id === 'a');
    const keys = () => told().map(({ payload }) => payload?.data?.userChanged?.key);
    // What tests before this one have made may still be on its way, and comes before it.
    await expect.poll(() => keys().at(-1)).toBe(user.id);
    expect(told().map(({ type }) => type)).toEqual(keys().map(() => 'next'));
    expect(keys()).not.toContain(undefined);
    await socket.close();
  });
});

test('messages that no client sends close the socket as its own fault', async () => {
  for (const text of [
    'nonsense',
    '{"type":"next","id":"1","payload":{}}',
    '{"type":"connection_ack"}',
    '{"type":"?"}',
  ]) {
    const socket = await raw();
    socket.sendText(text);
    expect(await socket.closed).toBe(4400);
  }
  const twice = await raw();
  twice.send({ type: 'connection_init' });
  expect(await twice.closed).toBe(4429);
});

const live = async () => (await server.query(SubscriptionsDocument)).data.subscriptions.length;

/** A socket whose messages are sent as they are, all at once where they are sent in one turn. */
async function raw() {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const heard: { id?: string; type: string; payload: any }[] = [];
  const acknowledged = Promise.withResolvers<void>();
  const send = (message: object) => socket.send(JSON.stringify(message));
  socket.on('open', () => send({ type: 'connection_init' }));
  socket.on('message', (data) => {
    const message = JSON.parse((data as Buffer).toString());
    if (message.type === 'connection_ack') acknowledged.resolve();
    else heard.push(message);
  });
  const closed = new Promise<number>((resolve) => socket.on('close', resolve));
  await acknowledged.promise;
  return {
    heard,
    closed,
    send,
    sendText: (text: string) => socket.send(text),
    /** The first message of an operation of its own. */
    answer: async (query: string) => {
      const own = crypto.randomUUID();
      send({ id: own, type: 'subscribe', payload: { query } });
      let found: (typeof heard)[number] | undefined;
      await expect.poll(() => (found = heard.find(({ id }) => id === own))).toBeDefined();
      return found!;
    },
    close: async () => {
      socket.close();
      await closed;
    },
  };
}
