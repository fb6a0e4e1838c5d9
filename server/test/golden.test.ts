import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Kind, print, type DocumentNode } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as operations from '../../schema/generated/operations.ts';
import { Hasher } from '../lib/password.ts';
import { paragraph } from './support/paragraph.ts';
import { subscribeTo } from './support/subscribe.ts';
import { startServer, type TestServer } from './support/server.ts';

/**
 * What each document of schema/operations sends to which server stands in golden/, so that a query that costs more than
 * it did, or goes where it should not, shows as a difference. `npx vitest run golden --update` writes the files again.
 */
const PASSWORD = 'correct horse';
/** Of whom the documents that ask for one are run. */
const SIGNED_IN = new Set(['Me', 'RenewToken', 'SignOut', 'ChangePassword']);

let server: TestServer;
let subscription: string;
let bookmark: string;
let [ada, leaving, post, draft]: string[] = [];

beforeAll(async () => {
  server = await startServer({
    // The monitor looks rarely here, and no wait is helped along by a heartbeat: what is sent is what documents ask for.
    MONITOR_INTERVAL_MS: 60_000,
    BOOKMARK_WAIT_MS: 10_000,
    BOOKMARK_STALL_MS: 10_000,
    // One connection, or statements sent at once would be logged in any order.
    REPLICA_POOL_SIZE: 1,
  });
  const { primary } = server.databases;
  [ada, leaving] = await texts(primary`
    insert into users (username, email, password_hash) values ('ada', 'ada@example.com', ${await new Hasher(1, 0).hash(PASSWORD)}), ('bob', 'bob@example.com', '-')
    returning id`);
  [post, draft] = await texts(primary`
    insert into posts (author_id, title, body) values (${ada!}, 'Notes', ''), (${ada!}, 'Draft', '') returning id`);
  ({
    readback: { bookmark },
  } = await server.query('{ users { totalCount } }', {}, { 'readback-consistency': 'strong' }));
  const events = subscribeTo(server.websocket(), operations.ChangesDocument);
  await events.next();
  subscription = (await server.query(operations.SubscriptionsDocument)).data.subscriptions[0]!.id;
});
afterAll(() => server.stop());

const texts = async (rows: PromiseLike<Record<string, string>[]>) => (await rows).map(({ id }) => id!);

/** For the documents that need some. */
const variables: Record<string, () => object> = {
  User: () => ({ id: ada }),
  Users: () => ({
    first: 10,
    filter: { search: 'a', isActive: true },
    orderBy: { field: 'USERNAME', direction: 'ASC' },
  }),
  SignIn: () => ({ login: 'ada', password: PASSWORD }),
  ChangePassword: () => ({ current: PASSWORD, new: PASSWORD }),
  EndSubscription: () => ({ id: subscription }),
  CreateUser: () => ({ input: { username: 'grace', email: 'grace@example.com', password: 'correct horse' } }),
  ReplaceUser: () => ({ id: ada, input: { username: 'ada', email: 'ada@example.com' } }),
  UpdateUser: () => ({ id: ada, input: { firstName: 'Ada' } }),
  Post: () => ({ id: post }),
  Posts: () => ({ filter: { search: 'n', authorId: ada, published: false } }),
  UsersWithPosts: () => ({ last: 2, before: cursor() }),
  CreatePost: () => ({ input: { authorId: ada, title: 'More notes', body: '' } }),
  UpdatePost: () => ({ id: post, input: { title: 'Note G' } }),
  PublishPost: () => ({ id: post }),
  DeletePost: () => ({ id: draft }),
  DeleteUser: () => ({ id: leaving }),
};

const cursor = () =>
  Buffer.from(JSON.stringify(['CREATED_AT', 'DESC', '2026-01-01T00:00:00Z', post])).toString('base64url');

const documents = Object.values(operations as Record<string, DocumentNode>).flatMap((document) => {
  const [operation] = document.definitions;
  if (operation?.kind !== Kind.OPERATION_DEFINITION || operation.operation === 'subscription') return [];
  return [{ name: operation.name!.value, text: print(document) }];
});

describe('the statements of', () => {
  for (const { name, text } of documents)
    test(name, async () => {
      const headers = { 'readback-bookmark': bookmark, ...(SIGNED_IN.has(name) && (await authorization())) };
      const servers = ['primary', 'replica-1'].map((of) => ({ of, read: server.databases.statements(of, OURS) }));
      const { errors } = await server.query(text, variables[name]?.() ?? {}, headers);
      expect(errors).toEqual([]);
      const sent = servers.map(({ of, read }) => section(of, read().filter(isOfDocument)));
      await expect(`${sent.join('\n\n')}\n`).toMatchFileSnapshot(`golden/${name}.sql`);
    });
});

test('no file is left of a document that is gone', () => {
  expect(readdirSync(join(import.meta.dirname, 'golden')).toSorted()).toEqual(
    documents.map(({ name }) => `${name}.sql`).toSorted(),
  );
});

const OURS = /^readback (reads|writes)/;
/** The feed reads the change log whenever something was written; whether a token is good is read when it is first seen. */
const isOfDocument = (statement: string) => !/readback\.change_log|t\.token_version/.test(statement);

async function authorization() {
  const { data } = await server.query(operations.SignInDocument, { login: 'ada', password: PASSWORD });
  return { authorization: `Bearer ${data.signIn.token}` };
}

const section = (of: string, statements: string[]) =>
  [`-- ${of}: ${statements.length || 'nothing'}`, ...statements.map(paragraph)].join('\n\n');
