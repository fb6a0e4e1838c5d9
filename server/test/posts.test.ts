import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CreatePostDocument,
  CreateUserDocument,
  DeletePostDocument,
  PostDocument,
  PostsDocument,
  PublishPostDocument,
  UpdatePostDocument,
} from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';

const NOBODY = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
let server: TestServer;
let authorId: string;

beforeAll(async () => {
  server = await startServer();
  const input = { username: 'ada', email: 'ada@example.com', password: 'correct horse' };
  authorId = (await server.query(CreateUserDocument, { input })).data.createUser.user.id;
});
afterAll(() => server.stop());

const input = (more: object = {}) => ({ authorId, title: 'Notes', body: 'On the engine.', ...more });

async function create(more: object = {}) {
  const { data, errors } = await server.query(CreatePostDocument, { input: input(more) });
  expect(errors).toEqual([]);
  return data.createPost;
}

/** Reads at or past the given bookmark. */
async function read(id: string, bookmark: string) {
  const { data, errors } = await server.query(PostDocument, { id }, { 'readback-bookmark': bookmark });
  expect(errors).toEqual([]);
  return data.post;
}

test('a post is created, read, updated, published and deleted', async () => {
  const { post, bookmark } = await create();
  expect(post).toMatchObject({
    title: 'Notes',
    body: 'On the engine.',
    publishedAt: null,
    createdAt: post.updatedAt,
    author: { id: authorId, username: 'ada' },
  });
  expect(await read(post.id, bookmark)).toEqual(post);

  const { updatePost } = (await server.query(UpdatePostDocument, { id: post.id, input: { title: 'Note G' } })).data;
  expect(updatePost.post).toMatchObject({ title: 'Note G', body: post.body, createdAt: post.createdAt });
  expect(updatePost.post.updatedAt > post.updatedAt).toBe(true);

  const { publishPost } = (await server.query(PublishPostDocument, { id: post.id })).data;
  expect(publishPost.post).toEqual({
    ...updatePost.post,
    publishedAt: publishPost.post.updatedAt,
    updatedAt: publishPost.post.updatedAt,
  });

  const { deletePost } = (await server.query(DeletePostDocument, { id: post.id })).data;
  expect(deletePost.post).toEqual(publishPost.post);
  expect(await read(post.id, deletePost.bookmark)).toBeNull();
});

test('publishing again, ten times at once, changes nothing', async () => {
  const { post } = await create();
  const publish = async () => (await server.query(PublishPostDocument, { id: post.id })).data.publishPost.post;
  const all = await Promise.all(Array.from({ length: 10 }, publish));
  expect(new Set(all.map((one) => JSON.stringify(one))).size).toBe(1);
  expect(all[0]!.publishedAt).not.toBeNull();
});

test('lists filter by prefix of the title, author and publication, and order by title', async () => {
  const { user } = (
    await server.query(CreateUserDocument, {
      input: { username: 'babbage', email: 'babbage@example.com', password: 'correct horse' },
    })
  ).data.createUser;
  for (const title of ['Über uns', 'überall', 'Engine 100%', 'engine 1000']) await create({ authorId: user.id, title });
  const { post } = await create({ authorId: user.id, title: 'Zoology' });
  const { bookmark } = (await server.query(PublishPostDocument, { id: post.id })).data.publishPost;
  const titles = async (filter: object, direction: 'ASC' | 'DESC' = 'ASC') => {
    const orderBy = { field: 'TITLE', direction } as const;
    const { data } = await server.query(PostsDocument, { filter, orderBy }, { 'readback-bookmark': bookmark });
    expect(data.posts.totalCount).toBe(data.posts.nodes.length);
    return data.posts.nodes.map(({ title }) => title);
  };
  expect(await titles({ search: 'ÜBER' })).toEqual(['Über uns', 'überall']);
  expect(await titles({ search: 'engine 100%' })).toEqual(['Engine 100%']);
  expect(await titles({ authorId: user.id.toUpperCase(), published: true })).toEqual(['Zoology']);
  expect(await titles({ authorId: user.id, published: false }, 'DESC')).toEqual([
    'überall',
    'Über uns',
    'engine 1000',
    'Engine 100%',
  ]);
  expect(await titles({ authorId: NOBODY })).toEqual([]);
});

test('what is selected under a mutation sees it, over the relation in both directions', async () => {
  const { data } = await server.query<
    { createPost: { post: { author: { posts: { totalCount: number; nodes: { title: string }[] } } } } },
    object
  >(
    `mutation ($input: CreatePostInput!) {
      createPost(input: $input) { post { author { posts(first: 1) { totalCount nodes { title } } } } }
    }`,
    { input: input({ title: 'Newest' }) },
  );
  const { totalCount, nodes } = data.createPost.post.author.posts;
  const [row] = await server.databases.primary`select count(*)::int from posts where author_id = ${authorId}`;
  expect({ totalCount, nodes }).toEqual({ totalCount: row!['count'], nodes: [{ title: 'Newest' }] });
});

describe('text comes back unchanged', () => {
  const texts = {
    'unicode, at the limits': { title: '🦜'.repeat(200), body: '日本語 \u202Eabc e\u0301'.repeat(1000) },
    'sql injection': { title: `'); drop table posts; --`, body: '$1 \\ ${x} {"a": [1]}' },
    'an empty body': { title: ' ', body: '' },
  };
  for (const [name, text] of Object.entries(texts)) {
    test(name, async () => {
      const { post, bookmark } = await create(text);
      expect(post).toMatchObject(text);
      expect(await read(post.id, bookmark)).toEqual(post);
    });
  }
});

describe('bad input gets its error, and writes nothing', () => {
  const inputs: [string, object, string][] = [
    ['an author who is not there', { authorId: NOBODY }, 'NOT_FOUND authorId'],
    ['an author who is no id', { authorId: 'ada' }, 'BAD_USER_INPUT authorId'],
    ['no title', { title: '' }, 'BAD_USER_INPUT title'],
    ['a title too long', { title: 'x'.repeat(201) }, 'BAD_USER_INPUT title'],
    // A heart with its colour is two characters to PostgreSQL, and one to many who count.
    ['a title too long for the column', { title: '❤️'.repeat(101) }, 'BAD_USER_INPUT title'],
    ['a title with a null character', { title: 'a\0b' }, 'BAD_USER_INPUT title'],
    ['a title that reads backwards', { title: 'a\u202Eb' }, 'BAD_USER_INPUT title'],
    ['a title of two lines', { title: 'a\nb' }, 'BAD_USER_INPUT title'],
    ['a body too long', { body: 'x'.repeat(20_001) }, 'BAD_USER_INPUT body'],
    ['a body with half a character', { body: '\ud800' }, 'BAD_USER_INPUT body'],
    ['an unknown field', { publishedAt: '2026-01-01T00:00:00Z' }, 'BAD_USER_INPUT'],
  ];
  for (const [name, more, expected] of inputs) {
    test(name, async () => {
      const before = await server.databases.primary`select count(*) from posts`;
      expect(await server.failure(CreatePostDocument, { input: input(more) })).toBe(expected);
      expect(await server.databases.primary`select count(*) from posts`).toEqual(before);
    });
  }

  const cursor = (...parts: string[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
  const operations: [string, string, string][] = [
    ['an id that is none', '{ post(id: "1") { id } }', 'BAD_USER_INPUT id'],
    ['updating nothing', `mutation { updatePost(id: "${NOBODY}", input: { body: "" }) { bookmark } }`, 'NOT_FOUND id'],
    ['publishing nothing', `mutation { publishPost(id: "${NOBODY}") { bookmark } }`, 'NOT_FOUND id'],
    ['deleting nothing', `mutation { deletePost(id: "${NOBODY}") { bookmark } }`, 'NOT_FOUND id'],
    [
      'null for a title',
      `mutation { updatePost(id: "${NOBODY}", input: { title: null }) { bookmark } }`,
      'BAD_USER_INPUT title',
    ],
    ['an empty update', `mutation { updatePost(id: "${NOBODY}", input: {}) { bookmark } }`, 'BAD_USER_INPUT input'],
    ['a filter by no id', '{ posts(filter: { authorId: "ada" }) { totalCount } }', 'BAD_USER_INPUT authorId'],
    [
      'a search too long',
      `{ posts(filter: { search: "${'x'.repeat(201)}" }) { totalCount } }`,
      'BAD_USER_INPUT search',
    ],
    [
      'a search for a null character',
      '{ posts(filter: { search: "\\u0000" }) { totalCount } }',
      'BAD_USER_INPUT search',
    ],
    [
      'a cursor with a day that is none',
      `{ posts(after: "${cursor('CREATED_AT', 'DESC', '2026-02-30T00:00:00Z', NOBODY)}") { totalCount } }`,
      'BAD_CURSOR after',
    ],
    [
      'a cursor with a date for people',
      `{ posts(after: "${cursor('CREATED_AT', 'DESC', 'May 1', NOBODY)}") { totalCount } }`,
      'BAD_CURSOR after',
    ],
    [
      'a cursor with a null character',
      `{ posts(orderBy: { field: TITLE, direction: ASC }, after: "${cursor('TITLE', 'ASC', '\0', NOBODY)}") { totalCount } }`,
      'BAD_CURSOR after',
    ],
  ];
  for (const [name, document, expected] of operations) {
    test(name, async () => expect(await server.failure(document)).toBe(expected));
  }
});
