import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { addTo, signInAt } from './support/adding.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { addUser } from './support/people.ts';
import { projectCopy, run, serve, type CopyServer } from './support/project-copy.ts';

let databases: TestDatabases;
beforeEach(async () => {
  databases = await freshDatabases();
});
afterEach(() => databases.drop());

const quiet = () => {};

/** As somebody would open a table to users: comments, some of which their authors keep to themselves. */
const RIGHTS = `rights: {
    read: { or: [{ isHidden: { eq: false } }, { authorId: { eq: { claim: 'sub' } } }] },
    write: { authorId: { eq: { claim: 'sub' } } },
  },`;

const PLACES = `rights: { read: { ownerId: { eq: { claim: 'sub' } } } }`;

/** As it is asked, until it waits for what somebody else has locked. */
async function blocked(asked: Promise<unknown>): Promise<void> {
  const waiting = async () =>
    (
      await databases.primary`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    ).length;
  await Promise.race([expect.poll(waiting, { timeout: 20_000 }).toBe(1), asked]);
}

test('rows that are hidden are shown by no relation, list, count or answer', { timeout: 240_000 }, async () => {
  const { primary } = databases;
  await primary`create table places (country text, code text, owner_id uuid not null references users, primary key (country, code))`;
  await primary`create table comments (id uuid primary key default gen_random_uuid(),
    post_id uuid not null references posts on delete cascade, author_id uuid not null references users on delete cascade,
    body text not null, is_hidden boolean not null default false, created_at timestamptz not null default now(),
    place_country text, place_code text, foreign key (place_country, place_code) references places)`;
  const root = await projectCopy();
  await addTo(databases, root, ['places', 'comments']);
  const places = join(root, 'schema/tables/places.ts');
  writeFileSync(
    places,
    readFileSync(places, 'utf8').replace("@Table('places'", (table) => `${table}, { ${PLACES} }`),
  );
  const declaration = join(root, 'schema/tables/comments.ts');
  writeFileSync(declaration, readFileSync(declaration, 'utf8').replace(/(?=orderBy:)/, RIGHTS));
  expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
  await setUp(databases.config, testConfig(), quiet, join(root, 'sql'));

  const [ada, bob] = [await addUser({ databases }), await addUser({ databases })];
  const [draft, published] = await primary<{ id: string }[]>`
    insert into posts (author_id, title, body, published_at)
    values (${ada.id}, 'Draft', 'secret', null), (${ada.id}, 'Notes', 'told', now()) returning id`;
  await primary`insert into comments (post_id, author_id, body, is_hidden) values
    (${draft!.id}, ${bob.id}, 'on a draft', false), (${published!.id}, ${ada.id}, 'for me', true), (${published!.id}, ${ada.id}, 'for all', false)`;
  const query = await serve(root, databases, 'protected');
  const [asAda, asBob] = [await signInAt(query, ada), await signInAt(query, bob)];

  const all = '{ comments { totalCount nodes { body post { title body } } edges { node { body } } } }';
  const seen = { 'on a draft': null, 'for all': { title: 'Notes', body: 'told' } };
  const answer = await query(all, asBob);
  expect(answer).toMatchObject({ comments: { totalCount: 2 } });
  const { comments } = answer;
  expect(Object.fromEntries(comments.nodes.map(({ body, post }: any) => [body, post]))).toEqual(seen);
  expect(comments.edges).toHaveLength(2);
  expect((await query(all, asAda)).comments).toMatchObject({
    totalCount: 3,
    nodes: expect.arrayContaining([{ body: 'on a draft', post: { title: 'Draft', body: 'secret' } }]),
  });
  const under = `{ user(id: "${ada.id}") { comments { totalCount nodes { body } } posts { nodes { comments { totalCount } } } } }`;
  expect((await query(under, asBob)).user).toEqual({
    comments: { totalCount: 1, nodes: [{ body: 'for all' }] },
    posts: { nodes: [{ comments: { totalCount: 1 } }] },
  });
  expect((await query(under, asAda)).user.comments.totalCount).toBe(2);
  const [hidden] = await primary<{ id: string }[]>`select id from comments where is_hidden`;
  expect(await query(`{ comment(id: "${hidden!.id}") { body } }`, asBob)).toEqual({ comment: null });

  const create = (postId: string) =>
    query(
      `mutation { createComment(input: { postId: "${postId}", authorId: "${bob.id}", body: "x" }) { comment { body post { title } } } }`,
      asBob,
    );
  const nothing = [{ code: 'NOT_FOUND', field: 'postId' }];
  expect(await create(draft!.id)).toEqual(nothing);
  expect(await create(crypto.randomUUID())).toEqual(nothing);
  expect((await create(published!.id)).createComment.comment).toEqual({ body: 'x', post: { title: 'Notes' } });
  const [own] = await primary<{ id: string }[]>`select id from comments where body = 'x'`;
  expect(
    await query(`mutation { updateComment(id: "${own!.id}", input: { postId: "${draft!.id}" }) { bookmark } }`, asBob),
  ).toEqual(nothing);
  await expectHiddenPlaces(query, asBob, { ada, bob, post: published!.id, comment: own!.id });
});

/** A row that is known by two columns: who does not see it cannot name it, not even with one of them at a time. */
async function expectHiddenPlaces(
  query: CopyServer,
  asBob: string,
  { ada, bob, post, comment }: { ada: { id: string }; bob: { id: string }; post: string; comment: string },
): Promise<void> {
  const { primary } = databases;
  await primary`insert into places values ('at', 'A', ${ada.id}), ('at', 'B', ${bob.id}), ('de', 'B', ${ada.id})`;
  const hidden = [{ code: 'NOT_FOUND', field: 'placeCode' }];
  const place = '{ comment { placeCountry placeCode place { id } } }';
  const update = (input: string) =>
    query(`mutation { updateComment(id: "${comment}", input: { ${input} }) ${place} }`, asBob);
  const named = (country: string | null, code: string | null, id: string | null) => ({
    updateComment: { comment: { placeCountry: country, placeCode: code, place: id === null ? null : { id } } },
  });
  const create = (input: string) =>
    query(
      `mutation { createComment(input: { postId: "${post}", authorId: "${bob.id}", body: "y", ${input} }) ${place} }`,
      asBob,
    );
  expect(await create('placeCountry: "at", placeCode: "A"')).toEqual(hidden);
  expect(await create('placeCountry: "no", placeCode: "A"')).toEqual(hidden);
  expect(await update('placeCountry: "at", placeCode: "A"')).toEqual(hidden);
  expect(await update('placeCountry: "at", placeCode: "B"')).toEqual(named('at', 'B', '["at","B"]'));
  expect(await update('placeCode: "A"')).toEqual(hidden);
  expect(await update('placeCountry: "de"')).toEqual(hidden);
  expect(await update('placeCountry: null')).toEqual(named(null, 'B', null));
  expect(await update('placeCountry: "de"')).toEqual(hidden);

  // Neither of two updates names a row by itself: the second one is judged by what the first has left.
  expect(await update('placeCode: null')).toEqual(named(null, null, null));
  const locked = await primary.reserve();
  await locked`begin`;
  await locked`select from comments where id = ${comment} for update`;
  const second = update('placeCode: "B"');
  await blocked(second);
  await locked`update comments set place_country = 'de' where id = ${comment}`;
  await locked`commit`;
  locked.release();
  expect(await second).toEqual(hidden);
  expect(await primary`select place_country, place_code from comments where id = ${comment}`).toEqual([
    { place_country: 'de', place_code: null },
  ]);
}
