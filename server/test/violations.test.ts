import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import {
  CreatePostDocument,
  CreateUserDocument,
  DeleteUserDocument,
  PostsDocument,
  UpdatePostDocument,
} from '../../schema/generated/operations.ts';
import { tableNamed } from '../declare/declaration.ts';
import { person, startProtected } from './support/people.ts';
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

const raising = (code: string) =>
  alter(`create or replace function refuse() returns trigger language plpgsql as $$
      begin raise exception 'the ledger of % is closed', new.title using errcode = '${code}'; end $$;
    create or replace trigger refuse before insert on posts for each row execute function refuse()`);

test('whatever code it gives for that', async () => {
  for (const code of ['ZX001', '42501', '0A000', '08006', '28000', '53100', '57P01', '57014', '25006']) {
    await raising(code);
    expect([code, ...told(await post('Notes'))!.slice(0, 2)]).toEqual([code, 'BAD_USER_INPUT', undefined]);
    const { body } = await server.rest('GET', '/health');
    expect(body).toMatchObject({ writes: true, message: expect.not.stringContaining('refuses') });
  }
});

const AGAIN = ['CONFLICT', undefined, 'Another write was in the way, and nothing is written: try again.'];

test('but for what is worth to be tried again', async () => {
  for (const code of ['40001', '40P01', '55P03']) {
    await raising(code);
    expect([code, told(await post('Notes'))]).toEqual([code, AGAIN]);
  }
});

test.each([
  ['money', '1', 'abc', 'body must be as PostgreSQL writes a value of its type money, got: abc'],
  ['int4range', 'empty', '[2,1)', 'body must be as PostgreSQL writes a value of its type int4range, got: [2,1)'],
  ['smallint', '1', '70000', 'body must be within the range of its type smallint, got: 70000'],
  ['short', 'x', 'longer', 'This body is not among the values that the table takes.'],
  ['short', 'x', 'none', 'This body is not among the values that the table takes.'],
])('a value that its type refuses is told by its field: %s', async (type, present, value, message) => {
  await alter(`create domain short as varchar(5) check (value <> 'none')`);
  await alter(`alter table posts alter body type ${type} using '${present}'`);
  const create = (body: string) => server.query(CreatePostDocument, { input: { authorId, title: 'Notes', body } });
  const refused = ['BAD_USER_INPUT', 'body', message];
  expect(told(await create(value))).toEqual(refused);
  const { id } = (await create(present)).data.createPost.post;
  const changed = await server.query(UpdatePostDocument, { id, input: { title: 'x', body: value } });
  expect(told(changed)).toEqual(refused);
});

test('so is one that rows are asked for by', async () => {
  const { primary, replicas } = server.databases;
  for (const sql of [primary, ...replicas])
    await sql.unsafe(`alter table posts drop constraint if exists posts_author_id_fkey;
      alter table posts alter author_id type inet using null`);
  expect(told(await server.query(PostsDocument, { filter: { authorId: NOBODY } }))).toEqual([
    'BAD_USER_INPUT',
    'authorId',
    `authorId must be as PostgreSQL writes a value of its type inet, got: ${NOBODY}`,
  ]);
});

test('a server that a trigger asks in vain is not the primary', async () => {
  await alter('create extension dblink');
  await alter(`create function ask() returns trigger language plpgsql security definer as $$
    begin perform dblink('host=127.0.0.1 port=1 dbname=none', 'select 1'); return new; end $$`);
  await alter('create trigger ask before insert on posts for each row execute function ask()');
  expect(told(await post('Notes'))?.[0]).toBe('INTERNAL_SERVER_ERROR');
});

test('whoever a deadlock ends is told to try again', async () => {
  await alter(`create function lock() returns trigger language plpgsql as $$ begin
    perform pg_advisory_xact_lock(1);
    while not exists (select from pg_locks where locktype = 'advisory' and objid = 1 and not granted) loop
      perform pg_sleep(0.01), pg_stat_clear_snapshot();
    end loop;
    perform pg_advisory_xact_lock(2);
    return new;
  end $$`);
  await alter('create trigger lock before insert on posts for each row execute function lock()');
  const other = server.databases.primary.begin(async (sql) => {
    // It finds no deadlock itself, so that it is the server's statement that is ended.
    await sql`set local deadlock_timeout = '60s'`;
    await sql`select pg_advisory_xact_lock(2)`;
    const isHeld = async () =>
      (await sql`select from pg_locks where locktype = 'advisory' and objid = 1 and granted`).length > 0;
    await vi.waitUntil(isHeld, { timeout: 20_000, interval: 10 });
    await sql`select pg_advisory_xact_lock(1)`;
  });
  expect(told(await post('Notes'))).toEqual(AGAIN);
  await other;
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

test('nor are those that are for administrators, but to these', async () => {
  await alter('alter table posts drop constraint posts_author_id_fkey');
  await alter('alter table posts add constraint posts_author_id_fkey foreign key (author_id) references users (id)');
  const guarded = await startProtected({}, server.databases);
  onTestFinished(() => guarded.stop());
  const [owner, administrator] = [await person(guarded), await person(guarded, true)];
  await post('Notes', owner.id);
  const by = async ({ headers }: typeof owner) =>
    told(await guarded.query(DeleteUserDocument, { id: owner.id }, headers))?.[2];
  const named = 'There are posts that still refer to this: delete those first, or give them another authorId.';
  expect(await by(owner)).toBe(named);
  const posts = tableNamed('posts')!;
  const { read, write } = posts;
  onTestFinished(() => void Object.assign(posts, { read, write }));
  Object.assign(posts, { read: undefined, write: undefined });
  expect(await by(owner)).toBe('Something still refers to this, so it stays.');
  expect(await by(administrator)).toBe(named);
});
