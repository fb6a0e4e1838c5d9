import { SignInDocument } from '../../../schema/generated/operations.ts';
import type { Config } from '../../boot/config.ts';
import { Hasher } from '../../lib/password.ts';
import { startServer, type TestServer } from './server.ts';
import type { TestDatabases } from './databases.ts';

/** Somebody who has signed in. */
export interface Person {
  id: string;
  username: string;
  token: string;
  headers: { authorization: string };
}

export const PASSWORD = 'correct horse';
/** Hashing takes its time: everybody here has the same password. */
const hash = new Hasher(1, 100).hash(PASSWORD);
let serial = 0;

/** A server that asks who people are. */
export const startProtected = (overrides: Partial<Config> = {}, given?: TestDatabases): Promise<TestServer> =>
  startServer({ ACCESS: 'protected', HASH_QUEUE: 1000, ...overrides }, given);

export async function addUser({ databases }: Pick<TestServer, 'databases'>, isAdmin = false) {
  const username = `person-${++serial}`;
  const [row] = await databases.primary<{ id: string }[]>`
    insert into users (username, email, password_hash, is_admin)
    values (${username}, ${`${username}@example.com`}, ${await hash}, ${isAdmin}) returning id`;
  return { id: row!.id, username };
}

export async function signIn(server: TestServer, user: { id: string; username: string }): Promise<Person> {
  const { data, errors } = await server.query(SignInDocument, { login: user.username, password: PASSWORD });
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  const { token } = data.signIn;
  return { ...user, token, headers: { authorization: `Bearer ${token}` } };
}

export const person = async (server: TestServer, isAdmin = false) => signIn(server, await addUser(server, isAdmin));

/** Its id. */
export async function addPost({ databases }: TestServer, author: Person, isPublished: boolean): Promise<string> {
  const [row] = await databases.primary<{ id: string }[]>`
    insert into posts (author_id, title, body, published_at)
    values (${author.id}, 'title', 'body', ${isPublished ? new Date() : null}) returning id`;
  return row!.id;
}
