import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CreateUserDocument,
  DeleteUserDocument,
  ReplaceUserDocument,
  UpdateUserDocument,
  UserDocument,
  UsersDocument,
} from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
beforeAll(async () => void (server = await startServer()));
afterAll(() => server.stop());

let serial = 0;
const input = (more: object = {}) => {
  const username = `user-${++serial}`;
  return { username, email: `${username}@example.com`, password: 'correct horse', ...more };
};

async function create(more: object = {}) {
  const { data, errors } = await server.query(CreateUserDocument, { input: input(more) });
  expect(errors).toEqual([]);
  return data.createUser;
}

/** Reads at or past the given bookmark. */
async function read(id: string, bookmark: string) {
  const { data, errors } = await server.query(UserDocument, { id }, { 'readback-bookmark': bookmark });
  expect(errors).toEqual([]);
  return data.user;
}

test('a user is created, read, replaced, updated and deleted', async () => {
  const { user, bookmark } = await create({ firstName: 'Ada', lastName: 'Lovelace' });
  expect(user).toMatchObject({ firstName: 'Ada', isActive: true, emailVerified: false, createdAt: user.updatedAt });
  expect(user.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/);
  expect(await read(user.id, bookmark)).toEqual(user);

  const replaced = await server.query(ReplaceUserDocument, {
    id: user.id,
    input: { username: user.username, email: 'ada@example.com' },
  });
  expect(replaced.data.replaceUser.user).toMatchObject({
    email: 'ada@example.com',
    firstName: null,
    lastName: null,
    isActive: true,
  });

  const updated = await server.query(UpdateUserDocument, {
    id: user.id,
    input: { firstName: 'Augusta', isActive: false },
  });
  expect(updated.data.updateUser.user).toMatchObject({
    firstName: 'Augusta',
    isActive: false,
    email: 'ada@example.com',
  });
  expect(updated.data.updateUser.user.updatedAt! > user.updatedAt!).toBe(true);
  expect(updated.data.updateUser.user.createdAt).toBe(user.createdAt);

  const cleared = await server.query(UpdateUserDocument, { id: user.id, input: { firstName: null } });
  expect(cleared.data.updateUser.user.firstName).toBeNull();

  const deleted = await server.query(DeleteUserDocument, { id: user.id });
  expect(deleted.data.deleteUser.user).toMatchObject({ id: user.id, email: 'ada@example.com' });
  expect(await read(user.id, deleted.data.deleteUser.bookmark)).toBeNull();
});

test('the password is hashed with argon2id, and is on the primary alone', async () => {
  const { user } = await create();
  const [row] = await server.databases.primary`select password_hash from users where id = ${user.id}`;
  expect(row!['password_hash']).toMatch(/^\$argon2id\$v=19\$m=19456,(t=2,p=1|p=1,t=2)\$/);
  const columns = await server.databases
    .replicas[0]!`select column_name from information_schema.columns where table_schema = 'public'`;
  expect(columns.map((column) => column['column_name']).filter((name: string) => name.includes('password'))).toEqual(
    [],
  );
});

test('updating a password changes the hash and no replicated field but updatedAt', async () => {
  const { user } = await create();
  const hash = async () =>
    (await server.databases.primary`select password_hash from users where id = ${user.id}`)[0]!['password_hash'];
  const before = await hash();
  const { data } = await server.query(UpdateUserDocument, { id: user.id, input: { password: 'battery staple' } });
  expect(data.updateUser.user).toEqual({ ...user, updatedAt: data.updateUser.user.updatedAt });
  expect(await hash()).not.toBe(before);
});

test('two creates of one username at once: one succeeds, one is a CONFLICT that names the field', async () => {
  const username = 'the-same';
  const both = await Promise.all(
    [1, 2].map((n) =>
      server.query(CreateUserDocument, { input: { ...input({ username }), email: `same-${n}@example.com` } }),
    ),
  );
  const errors = both.flatMap((answer) => answer.errors);
  expect(errors).toMatchObject([{ extensions: { code: 'CONFLICT', field: 'username' }, path: ['createUser'] }]);
  const emails = input({ email: 'taken@example.com' });
  await server.query(CreateUserDocument, { input: emails });
  expect(await server.failure(CreateUserDocument, { input: input({ email: 'taken@example.com' }) })).toBe(
    'CONFLICT email',
  );
});

describe('text comes back unchanged', () => {
  const texts = {
    unicode: 'Zoë 🦜 日本語 עברית abc e\u0301',
    'sql injection': `Robert'); drop table users; --`,
    markup: '<script>alert("x")</script>&amp;',
    'like and format': '100%_\\ ${x} %s {{x}} $1',
    quotes: `"'\`´`,
    json: '{"a": [1, null]} \\u0000 \\',
  };
  for (const [name, text] of Object.entries(texts)) {
    test(name, async () => {
      const { user, bookmark } = await create({ firstName: text, lastName: text, password: `${text}${text}` });
      expect(user).toMatchObject({ firstName: text, lastName: text });
      expect(await read(user.id, bookmark)).toEqual(user);
      const found = await server.query(UsersDocument, { filter: { search: text } }, { 'readback-bookmark': bookmark });
      expect(found.data.users.nodes.map(({ id }) => id)).toContain(user.id);
    });
  }

  test('names of 100 characters, each outside the basic plane', async () => {
    const { user } = await create({ firstName: '🦜'.repeat(100) });
    expect(user.firstName).toBe('🦜'.repeat(100));
  });
});

describe('bad input gets its error, and writes nothing', () => {
  const inputs: [string, object, string][] = [
    ['username too short', { username: 'ab' }, 'BAD_USER_INPUT username'],
    ['username too long', { username: 'a'.repeat(51) }, 'BAD_USER_INPUT username'],
    ['username with a space', { username: 'a b c' }, 'BAD_USER_INPUT username'],
    ['username with a newline at its end', { username: 'abc\n' }, 'BAD_USER_INPUT username'],
    ['email of no form', { email: 'nobody' }, 'BAD_USER_INPUT email'],
    [
      'email too long',
      { email: `${'a'.repeat(60)}@${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.${'e'.repeat(20)}.com` },
      'BAD_USER_INPUT email',
    ],
    ['password too short', { password: '1234567' }, 'BAD_USER_INPUT password'],
    ['password too long', { password: 'x'.repeat(129) }, 'BAD_USER_INPUT password'],
    ['name too long', { firstName: 'x'.repeat(101) }, 'BAD_USER_INPUT firstName'],
    ['name with a null character', { lastName: 'a\0b' }, 'BAD_USER_INPUT lastName'],
    ['name with half a character', { firstName: 'a\ud800' }, 'BAD_USER_INPUT firstName'],
    ['name that reads backwards', { firstName: 'Ada\u202Eecalevol' }, 'BAD_USER_INPUT firstName'],
    ['name with a mark of direction', { lastName: '\u200FAda' }, 'BAD_USER_INPUT lastName'],
    ['name of two lines', { lastName: 'Ada\nAdministrator' }, 'BAD_USER_INPUT lastName'],
    ['name with a control character', { firstName: 'a\u0007b' }, 'BAD_USER_INPUT firstName'],
    ['email that reads backwards', { email: 'ada\u202Eeda@example.com' }, 'BAD_USER_INPUT email'],
    ['an unknown field', { admin: true }, 'BAD_USER_INPUT'],
    ['a number for a name', { firstName: 5 }, 'BAD_USER_INPUT'],
    ['no username', { username: undefined }, 'BAD_USER_INPUT'],
  ];
  for (const [name, more, expected] of inputs) {
    test(name, async () => {
      const before = await server.databases.primary`select count(*) from users`;
      expect(await server.failure(CreateUserDocument, { input: input(more) })).toBe(expected);
      expect(await server.databases.primary`select count(*) from users`).toEqual(before);
    });
  }

  const id = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
  const operations: [string, string, string][] = [
    ['an id that is none', '{ user(id: "1") { id } }', 'BAD_USER_INPUT id'],
    ['an id of injected SQL', `{ user(id: "' or 1=1 --") { id } }`, 'BAD_USER_INPUT id'],
    ['updating nobody', `mutation { updateUser(id: "${id}", input: { firstName: "x" }) { bookmark } }`, 'NOT_FOUND id'],
    [
      'replacing nobody',
      `mutation { replaceUser(id: "${id}", input: { username: "abc", email: "a@b.co" }) { bookmark } }`,
      'NOT_FOUND id',
    ],
    ['deleting nobody', `mutation { deleteUser(id: "${id}") { bookmark } }`, 'NOT_FOUND id'],
    ['an empty update', `mutation { updateUser(id: "${id}", input: {}) { bookmark } }`, 'BAD_USER_INPUT input'],
    [
      'null for a username',
      `mutation { updateUser(id: "${id}", input: { username: null }) { bookmark } }`,
      'BAD_USER_INPUT username',
    ],
    [
      'null for a password',
      `mutation { updateUser(id: "${id}", input: { password: null }) { bookmark } }`,
      'BAD_USER_INPUT password',
    ],
    [
      'null for isActive',
      `mutation { updateUser(id: "${id}", input: { isActive: null }) { bookmark } }`,
      'BAD_USER_INPUT isActive',
    ],
    ['a page too large', '{ users(first: 101) { totalCount } }', 'BAD_USER_INPUT first'],
    ['a negative page', '{ users(last: -1) { totalCount } }', 'BAD_USER_INPUT last'],
    ['first and last', '{ users(first: 1, last: 1) { totalCount } }', 'BAD_USER_INPUT first'],
    ['a cursor that is none', '{ users(after: "abc") { totalCount } }', 'BAD_CURSOR after'],
    [
      'a cursor with a forged value',
      `{ users(before: "${Buffer.from(`["CREATED_AT","DESC","x","${id}"]`).toString('base64url')}") { totalCount } }`,
      'BAD_CURSOR before',
    ],
    [
      'a cursor of another order',
      `{ users(after: "${Buffer.from(`["USERNAME","ASC","x","${id}"]`).toString('base64url')}") { totalCount } }`,
      'BAD_CURSOR after',
    ],
    ['an unknown field', '{ users { nodes { password } } }', 'GRAPHQL_VALIDATION_FAILED'],
    ['a document that is none', '{ users', 'GRAPHQL_PARSE_FAILED'],
  ];
  for (const [name, document, expected] of operations) {
    test(name, async () => expect(await server.failure(document)).toBe(expected));
  }

  test('a user that is not there reads as null', async () => {
    expect((await server.query(UserDocument, { id })).data.user).toBeNull();
  });
});
