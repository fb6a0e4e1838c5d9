import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CreatePostDocument, CreateUserDocument, DeleteUserDocument } from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';

/** Constraints as other programs name them: what clients are told comes from the catalog. */
const NOBODY = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
let server: TestServer;
let authorId: string;
let names = 0;

beforeEach(async () => {
  server = await startServer();
  authorId = await user();
});
afterEach(() => server.stop());

const alter = (statement: string) => server.databases.primary.unsafe(statement);
const input = () => ({ username: `user${++names}`, email: `user${names}@example.com`, password: 'correct horse' });

async function user(): Promise<string> {
  const { data, errors } = await server.query(CreateUserDocument, { input: input() });
  expect(errors).toEqual([]);
  return data.createUser.user.id;
}

const post = (title: string, author = authorId) =>
  server.query(CreatePostDocument, { input: { authorId: author, title, body: 'x' } });

const remove = () => server.query(DeleteUserDocument, { id: authorId });

/** The one error, as a client has it. */
const told = ({ errors }: { errors: readonly { message: string; extensions?: Record<string, unknown> }[] }) =>
  errors.map(({ message, extensions }) => [extensions?.['code'], extensions?.['field'], message])[0];

test.each([
  ['by a column', 'create unique index index_posts_on_title on posts (title)'],
  ['by what it is made of', 'create unique index titles_once on posts (lower(title))'],
  ['with a condition', "create unique index posts_title_idx on posts (title) where body <> ''"],
])('a unique index is told of by its fields, whatever its name: %s', async (_, index) => {
  await alter(index);
  expect((await post('Notes')).errors).toEqual([]);
  expect(told(await post('Notes'))).toEqual(['CONFLICT', 'title', 'This title is taken: choose another.']);
});

test('of several columns all are told, in their order', async () => {
  await alter('create unique index index_posts_on_title_and_author_id on posts (title, author_id)');
  await post('Notes');
  expect(told(await post('Notes'))).toEqual([
    'CONFLICT',
    'title',
    'This title with this authorId is taken: change one of them.',
  ]);
});

test('what clients do not know of is not told', async () => {
  await alter(`alter table users add column tenant_secret text not null default 'x'`);
  await alter(`update users set tenant_secret = id`);
  await alter('create unique index index_users_on_tenant_secret on users (tenant_secret)');
  expect((await server.query(CreateUserDocument, { input: input() })).errors).toEqual([]);
  const answer = await server.query(CreateUserDocument, { input: input() });
  expect(told(answer)).toEqual(['CONFLICT', undefined, 'A value is taken: choose another.']);
});

test.each(['no action', 'restrict'])(
  'a parent that has children stays, and says whose: on delete %s',
  async (action) => {
    await alter('alter table posts drop constraint posts_author_id_fkey');
    await alter(
      `alter table posts add constraint fk_rails_5b5ddfd518 foreign key (author_id) references users (id) on delete ${action}`,
    );
    await post('Notes');
    const message = 'There are posts that still refer to this: delete those first, or give them another authorId.';
    expect(told(await remove())).toEqual(['CONFLICT', 'id', message]);
    const response = await fetch(`${server.url}/api/users/${authorId}`, { method: 'DELETE' });
    expect(response.status).toBe(409);
    expect(await response.text()).not.toMatch(/fk_rails|author_id|constraint/);
    expect(told(await post('Notes', NOBODY))).toEqual([
      'NOT_FOUND',
      'authorId',
      'Nothing has this authorId: it was never there, or is deleted by now.',
    ]);
  },
);

test('what an exclusion constraint refuses is taken', async () => {
  await alter('alter table posts add constraint one_title exclude (title with =, author_id with =)');
  expect((await post('Notes')).errors).toEqual([]);
  expect(told(await post('Notes'))).toEqual([
    'CONFLICT',
    'title',
    'This title with this authorId is taken: change one of them.',
  ]);
});

test('a value that the table has come to need is named, where clients know it', async () => {
  await alter(`update users set first_name = 'x'`);
  await alter('alter table users alter first_name set not null');
  const create = () => server.query(CreateUserDocument, { input: input() });
  expect(told(await create())).toEqual(['BAD_USER_INPUT', 'firstName', 'firstName must have a value.']);
  await alter('alter table users alter first_name drop not null, add column tenant int');
  await alter('update users set tenant = 1');
  await alter('alter table users alter tenant set not null');
  expect(told(await create())).toEqual([
    'BAD_USER_INPUT',
    undefined,
    'The table needs a value that this gives it none of.',
  ]);
});

test('a trigger of the application refuses a write, and its words stay inside', async () => {
  await alter(`create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'the ledger of % is closed', new.title; end $$`);
  await alter('create trigger refuse before insert on posts for each row execute function refuse()');
  expect(told(await post('Notes'))).toEqual([
    'BAD_USER_INPUT',
    undefined,
    "A rule of the database's own refuses this.",
  ]);
});

test.each(['ZX001', '42501', '0A000', '40001'])('whatever code it gives for that: %s', async (code) => {
  await alter(`create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'the ledger of % is closed', new.title using errcode = '${code}'; end $$`);
  await alter('create trigger refuse before insert on posts for each row execute function refuse()');
  expect(told(await post('Notes'))?.slice(0, 2)).toEqual(['BAD_USER_INPUT', undefined]);
});

test('a check is told by the fields that it is about', async () => {
  await alter(`alter table posts add constraint chk_1 check (title <> 'Notes')`);
  const one = 'This title is not among the values that the table takes.';
  expect(told(await post('Notes'))).toEqual(['BAD_USER_INPUT', 'title', one]);
  await alter('alter table posts drop constraint chk_1, add check (title <> body)');
  const two = 'The table does not take this title with this body.';
  expect(told(await post('x'))).toEqual(['BAD_USER_INPUT', 'title', two]);
});

test.each([
  ['a check', "alter table posts add check (100 / position('x' in title) > 0)"],
  ['a generated column', "alter table posts add rank int generated always as (100 / position('x' in title)) stored"],
  ['a logarithm', "alter table posts add check (ln(position('x' in title)) >= 0)"],
  ['an index', 'create index on posts (body)'],
])('a value that the database cannot compute with is the client’s fault: %s', async (_, statement) => {
  await alter(statement);
  const body = randomBytes(10_000).toString('base64').slice(0, 10_000);
  expect(told(await server.query(CreatePostDocument, { input: { authorId, title: 'Notes', body } }))).toEqual([
    'BAD_USER_INPUT',
    undefined,
    'A value is not among those that the table takes.',
  ]);
});

test('nor are tables that they do not know of', async () => {
  await alter('create table payroll (employee uuid constraint payroll_fk references users (id))');
  await alter(`insert into payroll values ('${authorId}')`);
  expect(told(await remove())).toEqual(['CONFLICT', 'id', 'Something still refers to this, so it stays.']);
});
