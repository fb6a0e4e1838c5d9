import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GraphQLObjectType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChangesDocument } from '../../schema/generated/operations.ts';
import type { ClassType } from 'type-graphql';
import { allTables, declarationOf, type Declaration, type DeclaredColumn } from '../declare/declaration.ts';
import { meets, type Clause } from '../declare/rule.ts';
import { DateTime } from '../declare/scalars.ts';
import { projectRoot } from '../lib/root.ts';
import { buildGraphQLSchema } from '../graphql/schema/schema.ts';
import { addPost, PASSWORD, person, signIn, startProtected, type Person } from './support/people.ts';
import type { TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

/** The table of SECURITY.md, line by line and cell by cell. */
let server: TestServer;
let owner: Person;
let other: Person;
let admin: Person;
let published: string;
let draft: string;

beforeAll(async () => {
  server = await startProtected();
  [owner, other, admin] = await Promise.all([person(server), person(server), person(server, true)]);
  [published, draft] = [await post(owner, true), await post(owner, false)];
});
afterAll(() => server.stop());

const typeOf = ({ type }: Declaration) => buildGraphQLSchema().getType(type.name) as GraphQLObjectType;

type Outcome = 'yes' | 'null' | 'no';
type Viewer = Person | undefined;

const post = (author: Person, isPublished: boolean) => addPost(server, author, isPublished);

const strong = { 'readback-consistency': 'strong' };
const REFUSED = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND']);

/** What comes of a document; `pick` finds in its data what the line is about. */
async function ask(viewer: Viewer, document: string, pick: (data: any) => unknown = Boolean): Promise<Outcome> {
  const { data, errors } = await server.query<any, object>(document, {}, { ...strong, ...viewer?.headers });
  if (errors.length > 0) {
    expect(errors.filter(({ extensions }) => !REFUSED.has(extensions.code))).toEqual([]);
    return 'no';
  }
  const found = pick(data);
  return found === null || found === undefined || found === false ? 'null' : 'yes';
}

async function rest(
  viewer: Viewer,
  method: string,
  path: string,
  body?: object,
  pick: (data: any) => unknown = Boolean,
) {
  const { status, body: answer } = await server.rest(method, path, body, { ...strong, ...viewer?.headers });
  if ([401, 403, 404].includes(status)) return 'no';
  expect(status).toBeLessThan(300);
  return pick(answer.data) == null ? 'null' : 'yes';
}

const field = (name: string) => (viewer: Viewer) =>
  ask(viewer, `{ user(id: "${owner.id}") { ${name} } }`, ({ user }) => user[name] !== null);
const has = (id: string) => (connection: any) => connection.nodes.some((node: any) => node.id === id);
const toUser = (id: string, input: string) => `mutation { updateUser(id: "${id}", input: { ${input} }) { bookmark } }`;
let serial = 0;
const fresh = () => `fresh-${++serial}`;

/** What the viewer's change feed tells of `change`, up to a change that everybody sees. */
async function told(viewer: Viewer, change: () => Promise<unknown>): Promise<any[] | 'no'> {
  const client = server.websocket(viewer?.token);
  const events = subscribeTo<any>(client, ChangesDocument);
  try {
    const first = await events.next().catch(() => 'no' as const);
    if (first === 'no') return 'no';
    await change();
    const username = fresh();
    await server.databases
      .primary`insert into users (username, email, password_hash) values (${username}, ${username}, '-')`;
    const seen: any[] = [];
    for (;;) {
      const { changes } = await events.next();
      if (changes.user?.username === username) return seen;
      if (changes.__typename !== 'CaughtUp') seen.push(changes);
    }
  } finally {
    await client.dispose();
  }
}

async function event(viewer: Viewer, change: () => Promise<unknown>, pick: (event: any) => unknown): Promise<Outcome> {
  const seen = await told(viewer, change);
  if (seen === 'no') return 'no';
  // What was written before the subscription may arrive after it.
  const last = seen.at(-1);
  return last !== undefined && pick(last) != null ? 'yes' : 'null';
}

const update = (set: string) => () =>
  server.databases.primary.unsafe(`update users set ${set} where id = '${owner.id}'`);

/** By the first cell of the line. */
const lines: Record<string, (viewer: Viewer) => Promise<string>> = {
  'Sign up: `createUser`, `POST /api/users`': async (viewer) => {
    const [a, b] = [fresh(), fresh()];
    const input = `{ username: "${a}", email: "${a}@example.com", password: "${PASSWORD}" }`;
    const graphql = await ask(viewer, `mutation { createUser(input: ${input}) { user { email } } }`);
    const body = { username: b, email: `${b}@example.com`, password: PASSWORD };
    expect(await rest(viewer, 'POST', '/api/users', body)).toBe(graphql);
    return graphql;
  },
  'Sign in: `signIn`': (viewer) =>
    ask(viewer, `mutation { signIn(login: "${owner.username}", password: "${PASSWORD}") { token } }`),
  'Who is signed in: `me`': (viewer) => ask(viewer, '{ me { email } }', ({ me }) => me?.email),
  // With a token of its own: the old one is not good for long.
  '`renewToken`': async (viewer) => ask(viewer && (await signIn(server, viewer)), 'mutation { renewToken { token } }'),
  "A user's `id`, `username`, `firstName`, `lastName`, `createdAt`": async (viewer) => {
    const names = ['id', 'username', 'createdAt'];
    const outcomes = await Promise.all(names.map((name) => field(name)(viewer)));
    return [...new Set(outcomes)].join();
  },
  "A user's `email`": (viewer) => field('email')(viewer),
  "A user's `isActive`": (viewer) => field('isActive')(viewer),
  "A user's `emailVerified`": (viewer) => field('emailVerified')(viewer),
  "A user's `updatedAt`": (viewer) => field('updatedAt')(viewer),
  'The list of users': (viewer) =>
    ask(viewer, '{ users(first: 100) { nodes { id } } }', ({ users }) => has(owner.id)(users)),
  'Users found by a prefix of their `email`': (viewer) =>
    ask(
      viewer,
      `{ users(filter: { search: "${owner.username}@ex" }) { totalCount } }`,
      ({ users }) => users.totalCount > 0,
    ),
  'Users filtered by `isActive`': (viewer) => ask(viewer, '{ users(filter: { isActive: true }) { totalCount } }'),
  '`GET /api/users/:id`': (viewer) => rest(viewer, 'GET', `/api/users/${owner.id}`),
  'its `email`, `is_active`, `email_verified`, `updated_at`': async (viewer) => {
    const names = ['email', 'is_active', 'email_verified', 'updated_at'];
    const read = (name: string) => rest(viewer, 'GET', `/api/users/${owner.id}`, undefined, (data) => data[name]);
    return [...new Set(await Promise.all(names.map(read)))].join();
  },
  'A post that is published': (viewer) =>
    ask(viewer, `{ post(id: "${published}") { body } }`, (data) => data.post?.body),
  'A draft': (viewer) => ask(viewer, `{ post(id: "${draft}") { body } }`, (data) => data.post?.body),
  'Drafts in the list of posts': (viewer) =>
    ask(viewer, '{ posts { nodes { id } } }', (data) => has(draft)(data.posts)),
  'Drafts among those not published': (viewer) =>
    ask(viewer, '{ posts(filter: { published: false }) { totalCount nodes { id } } }', (data) =>
      has(draft)(data.posts),
    ),
  'Drafts under their author': (viewer) =>
    ask(viewer, `{ user(id: "${owner.id}") { posts { nodes { id } } } }`, (data) => has(draft)(data.user.posts)),
  'Change names: `updateUser`, `PATCH /api/users/:id`': async (viewer) => {
    const graphql = await ask(viewer, toUser(owner.id, `lastName: "${fresh()}"`));
    expect(await rest(viewer, 'PATCH', `/api/users/${owner.id}`, { last_name: fresh() })).toBe(graphql);
    return graphql;
  },
  '`replaceUser`, `PUT /api/users/:id`': async (viewer) => {
    const email = `${owner.username}@example.com`;
    const body = { username: owner.username, email };
    const input = `{ username: "${owner.username}", email: "${email}" }`;
    const graphql = await ask(viewer, `mutation { replaceUser(id: "${owner.id}", input: ${input}) { bookmark } }`);
    expect(await rest(viewer, 'PUT', `/api/users/${owner.id}`, body)).toBe(graphql);
    return graphql;
  },
  'Set `emailVerified`': (viewer) => ask(viewer, toUser(owner.id, 'emailVerified: true')),
  'Set a `password` without the present one': async (viewer) => {
    const user = await person(server);
    return ask(viewer === owner ? user : viewer, toUser(user.id, 'password: "another horse"'));
  },
  'Deactivate: set `isActive`': async (viewer) => {
    const user = await person(server);
    return ask(viewer === owner ? user : viewer, toUser(user.id, 'isActive: false'));
  },
  '`deleteUser`, `DELETE /api/users/:id`': async (viewer) => {
    const [a, b] = [await person(server), await person(server)];
    const graphql = await ask(viewer === owner ? a : viewer, `mutation { deleteUser(id: "${a.id}") { bookmark } }`);
    expect(await rest(viewer === owner ? b : viewer, 'DELETE', `/api/users/${b.id}`)).toBe(graphql);
    return graphql;
  },
  '`createPost` with this author': (viewer) =>
    ask(viewer, `mutation { createPost(input: { authorId: "${owner.id}", title: "t", body: "" }) { bookmark } }`),
  '`updatePost`': (viewer) =>
    ask(viewer, `mutation { updatePost(id: "${published}", input: { title: "u" }) { bookmark } }`),
  '`updatePost`, `publishPost`, `deletePost` of a draft': async (viewer) => {
    const id = await post(owner, false);
    const outcomes = [
      await ask(viewer, `mutation { updatePost(id: "${id}", input: { title: "u" }) { bookmark } }`),
      await ask(viewer, `mutation { publishPost(id: "${id}") { bookmark } }`),
    ];
    const another = await post(owner, false);
    outcomes.push(await ask(viewer, `mutation { deletePost(id: "${another}") { bookmark } }`));
    return [...new Set(outcomes)].join();
  },
  "Changes of a user's names": (viewer) =>
    event(viewer, update(`first_name = '${fresh()}'`), ({ user }) => user.firstName),
  'in them `email`, before and after': async (viewer) => {
    const seen = (one: 'user' | 'before') =>
      event(viewer, update(`first_name = '${fresh()}'`), (change) => change[one].email);
    return [...new Set([await seen('user'), await seen('before')])].join();
  },
  'in them `updatedAt` among `changedFields`': (viewer) =>
    event(
      viewer,
      update(`first_name = '${fresh()}'`),
      ({ changedFields }) => changedFields.includes('updatedAt') || null,
    ),
  'Changes of hidden fields alone': (viewer) =>
    event(viewer, update('email_verified = not email_verified'), ({ key }) => key),
  'Changes of a draft': async (viewer) => {
    const id = await post(owner, false);
    return event(
      viewer,
      () => server.databases.primary`update posts set title = 'x' where id = ${id}`,
      ({ key }) => key,
    );
  },
  'A draft that is published, its `before`': async (viewer) => {
    const id = await post(owner, false);
    const publish = () => server.databases.primary`update posts set published_at = now() where id = ${id}`;
    return event(viewer, publish, ({ postBefore }) => postBefore);
  },
  'A published post that is deleted, its `before`': async (viewer) => {
    const id = await post(owner, true);
    return event(
      viewer,
      () => server.databases.primary`delete from posts where id = ${id}`,
      ({ postBefore }) => postBefore,
    );
  },
  "Drafts in a feed's snapshot": async (viewer) => {
    const events = subscribeTo<any>(server.websocket(viewer?.token), ChangesDocument, {
      tables: ['posts'],
      snapshot: true,
    });
    const seen: any[] = [];
    for (;;) {
      const next = await events.next().catch(() => 'no' as const);
      if (next === 'no') return 'no';
      if (next.changes.__typename === 'CaughtUp') break;
      seen.push(next.changes);
    }
    await events.end();
    expect(seen.some(({ key }) => key === published)).toBe(true);
    return seen.some(({ key }) => key === draft) ? 'yes' : 'null';
  },
  '`replication`': async (viewer) => {
    const query = await ask(viewer, '{ replication { at } }');
    const events = subscribeTo<any>(server.websocket(viewer?.token), 'subscription { replication { at } }');
    expect(
      await events.next().then(
        () => 'yes',
        () => 'no',
      ),
    ).toBe(query);
    await events.end();
    return query;
  },
  '`subscriptions`': (viewer) => ask(viewer, '{ subscriptions { id } }'),
  '`endSubscription`': async (viewer) => {
    const client = server.websocket(owner.token);
    const events = subscribeTo<any>(client, 'subscription Mine { changes { __typename } }');
    await events.next();
    const { data } = await server.query<any, object>('{ subscriptions { id userId operation } }', {}, admin.headers);
    const mine = data.subscriptions.find((one: any) => one.operation === 'Mine' && one.userId === owner.id);
    const outcome = await ask(viewer, `mutation { endSubscription(id: "${mine.id}") }`);
    if (outcome === 'yes') await expect(events.next()).rejects.toThrow('the subscription has ended');
    await client.dispose();
    return outcome;
  },
};

test('every operation says who may run it, and every field of a row is a column, or says who sees it', () => {
  const schema = buildGraphQLSchema();
  const roots = [schema.getQueryType()!, schema.getMutationType()!, schema.getSubscriptionType()!];
  for (const root of roots)
    for (const { name, extensions } of Object.values(root.getFields()))
      expect([name, extensions['who']]).toEqual([name, expect.any(String)]);
  for (const table of allTables()) {
    const { columns } = table;
    const fields = Object.values(typeOf(table).getFields());
    const others = fields.filter(({ name }) => !columns.some(({ field }) => field === name));
    for (const { name, extensions } of others) expect([name, extensions['who']]).toEqual([name, 'signedIn']);
  }
});

/** A row for a table that has none: the least that its columns take, after those that it refers to. */
async function seed(table: Declaration): Promise<void> {
  const { primary } = server.databases;
  const [found] = await primary`select from ${primary(table.name)} limit 1`;
  if (found) return;
  const values: Record<string, unknown> = {};
  for (const { kind, name, type, reference, nullable, hasDefault, length } of table.columns) {
    if ((kind !== 'value' && kind !== 'reference') || nullable || hasDefault) continue;
    if (reference) {
      const parent = declarationOf(reference.to() as ClassType);
      await seed(parent);
      const [row] = await primary`select ${primary(parent.key[0].name)} as key from ${primary(parent.name)} limit 1`;
      values[name] = row!['key'];
    } else if (type() === Boolean) values[name] = true;
    else if (type() === DateTime) values[name] = new Date();
    else values[name] = type() === String ? 'x'.repeat(Math.max(1, length?.[0] ?? 1)) : 1;
  }
  await primary`insert into ${primary(table.name)} ${primary(values)}`;
}

describe.each(allTables().map((table) => [table.name, table] as const))('whatever asks for rows of %s', (_, table) => {
  const { columns, one, many, key, read } = table;
  const fields = columns.map(({ field }) => field).filter((name) => name in typeOf(table).getFields());
  let rows: Record<string, unknown>[];
  beforeAll(async () => {
    await seed(table);
    const { primary } = server.databases;
    const found = await primary`select ${primary(columns.map(({ name }) => name))} from ${primary(table.name)}`;
    rows = found.map((row) => Object.fromEntries(columns.map(({ name, field: known }) => [known, row[name]])));
  });

  /** What of a row a viewer sees, by the rules as they are declared; undefined: nothing. */
  function seenOf(viewer: Person, row: Record<string, unknown>): Record<string, boolean> | undefined {
    const claims = { sub: viewer.id, roles: [] };
    const isMet = (clause: Clause | undefined) =>
      viewer === admin || (clause !== undefined && meets(clause, row, claims));
    if (!isMet(read)) return undefined;
    const isShown = ({ sees, field: name }: DeclaredColumn) =>
      row[name] !== null && (sees === undefined || isMet(sees));
    return Object.fromEntries(fields.map((name) => [name, isShown(columns.find((each) => each.field === name)!)]));
  }
  const isThere = (row: Record<string, unknown>) =>
    Object.fromEntries(fields.map((name) => [name, row[name] !== null]));
  const viewers = () => ({ other, owner, admin });

  for (const name of ['other', 'owner', 'admin'] as const)
    test(`shows ${name} what the declared rules say`, async () => {
      const viewer = viewers()[name];
      const headers = { ...strong, ...viewer.headers };
      const expected = new Map(rows.map((row) => [String(row[key[0].field]), seenOf(viewer, row)]));
      const visible = [...expected].flatMap(([id, seen]) => (seen ? [id] : []));
      visible.sort();
      for (const [id, seen] of expected) {
        const { data } = await server.query<any, object>(
          `{ ${one}(id: "${id}") { ${fields.join(' ')} } }`,
          {},
          headers,
        );
        expect(data[one] ? isThere(data[one]) : undefined).toEqual(seen);
      }
      const { data } = await server.query<any, object>(
        `{ ${many}(first: 100) { totalCount nodes { ${fields.join(' ')} } edges { node { ${key[0].field} } } } }`,
        {},
        headers,
      );
      const { totalCount, nodes, edges } = data[many];
      expect(totalCount).toBe(visible.length);
      expect(nodes.map((node: any) => node[key[0].field]).toSorted()).toEqual(visible);
      expect(edges).toHaveLength(visible.length);
      for (const node of nodes) expect(isThere(node)).toEqual(expected.get(node[key[0].field]));
      const events = subscribeTo<any>(server.websocket(viewer.token), ChangesDocument, {
        tables: [table.name],
        snapshot: true,
      });
      const told: string[] = [];
      if (read !== undefined || viewer === admin)
        for (;;) {
          const { changes } = await events.next();
          if (changes.__typename === 'CaughtUp') break;
          told.push(changes.key);
        }
      await events.end();
      expect(told.toSorted()).toEqual(visible);
    });

  test('shows nothing to whoever is not signed in', async () => {
    for (const query of [
      `{ ${many} { totalCount } }`,
      `{ ${one}(id: "${String(rows[0]![key[0].field])}") { ${key[0].field} } }`,
    ])
      expect(await server.failure(query)).toBe('UNAUTHENTICATED');
  });
});

const rows = [
  ...readFileSync(join(projectRoot, 'SECURITY.md'), 'utf8').matchAll(
    /^\| (.+?) +\| (\w+) +\| (\w+) +\| (\w+) +\| (\w+) +\|$/gm,
  ),
];

describe('the table of rights', () => {
  for (const [, what = '', ...cells] of rows) {
    test(what, async () => {
      const viewers = [undefined, other, owner, admin];
      const outcomes: string[] = [];
      for (const viewer of viewers) outcomes.push((await lines[what]?.(viewer)) ?? 'no test');
      expect(outcomes).toEqual(cells.slice(0, 4));
    });
  }

  test('has all lines that are tested, and no other', () => {
    expect(new Set(rows.map(([, what]) => what))).toEqual(new Set(Object.keys(lines)));
  });
});
