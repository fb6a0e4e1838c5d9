import { ID, Int } from 'type-graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assertMayCreate, assertMayWrite, writableBy } from '../auth/rights.ts';
import { connect } from '../database/connect.ts';
import { Table as Rows } from '../database/sql/table.ts';
import { Column, declarationOf, Key, Table, tableNamed, type Declaration } from '../declare/declaration.ts';
import { kindOf } from '../declare/kinds.ts';
import { readRule } from '../declare/read-rule.ts';
import { meets } from '../declare/rule.ts';
import { BigInt, DateTime } from '../declare/scalars.ts';
import { addPost, person, startProtected, type Person } from './support/people.ts';
import type { TestServer } from './support/server.ts';

let server: TestServer;
let owner: Person;
let other: Person;
let admin: Person;

beforeAll(async () => {
  server = await startProtected();
  [owner, other, admin] = await Promise.all([person(server), person(server), person(server, true)]);
});
afterAll(() => server.stop());

describe('what is not the viewer’s to see', () => {
  test('is no order of pages', () => {
    class Wage {
      @Key(() => ID) id!: string;
      @Column(() => String, { read: { id: { eq: { claim: 'sub' } } } }) amount!: string | null;
    }
    expect(() => Table('wages', { orderBy: ['amount'] })(Wage)).toThrow(
      'Wage: pages cannot be ordered by amount, which not everybody sees',
    );
  });

  test('is not searched, also where nothing else could be', async () => {
    const { search } = tableNamed('users')!.filter!;
    const { columns } = search!;
    Object.assign(search!, { columns: columns.filter(({ field: name }) => name === 'email') });
    try {
      const query = '{ users(filter: { search: "person" }) { totalCount } }';
      expect(await server.failure(query, {}, other.headers)).toBe('FORBIDDEN email');
      expect((await server.query(query, {}, admin.headers)).errors).toEqual([]);
    } finally {
      Object.assign(search!, { columns });
    }
  });

  test('is no table that the feed names', async () => {
    const table = tableNamed('posts')!;
    const { read } = table;
    Object.assign(table, { read: undefined });
    const ask = async ({ token }: Person, name: string) => {
      const client = server.websocket(token);
      const { value } = await client
        .iterate<any>({ query: `subscription { changes(tables: "${name}") { __typename } }` })
        .next();
      await client.dispose();
      return value.errors?.[0].message ?? 'told';
    };
    try {
      expect(await ask(other, 'x')).toBe('tables must be among users, got: x');
      expect(await ask(other, 'posts')).toBe('tables must be among users, got: posts');
      expect(await ask(admin, 'posts')).toBe('told');
    } finally {
      Object.assign(table, { read });
    }
  });
});

describe('a row that becomes another’s between the look and the write', () => {
  const writes: [string, string][] = [
    ['updated', 'updatePost(id: $id, input: { title: "mine" })'],
    ['published', 'publishPost(id: $id)'],
    ['deleted', 'deletePost(id: $id)'],
  ];
  for (const [what, write] of writes)
    test(`is not ${what}`, async () => {
      for (const [isPublished, code] of [[true, 'FORBIDDEN'] as const, [false, 'NOT_FOUND'] as const]) {
        const id = await addPost(server, owner, isPublished);
        const { errors } = await whileItIsGivenAway(id, () =>
          server.query<any, object>(`mutation ($id: ID!) { ${write} { bookmark } }`, { id }, owner.headers),
        );
        expect(errors.map(({ extensions }) => extensions.code)).toEqual([code]);
        expect(
          await server.databases.primary`select title, published_at is not null as p from posts where id = ${id}`,
        ).toEqual([{ title: 'title', p: isPublished }]);
      }
    });

  /** The write has looked, and waits for the row's lock, when the row goes to somebody else. */
  async function whileItIsGivenAway<Answer>(id: string, write: () => Promise<Answer>) {
    const { primary } = server.databases;
    let answer: Promise<Answer>;
    await primary.begin(async (sql) => {
      await sql`update posts set author_id = ${other.id} where id = ${id}`;
      answer = write();
      const waiting = () => primary`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      await expect.poll(async () => (await waiting()).length).toBe(1);
    });
    return answer!;
  }
});

test('a moment is the same to a rule, with zeros at its end and without', () => {
  const columns = [
    { field: 'dueAt', name: 'due_at', type: () => DateTime, form: kindOf(DateTime), kind: 'value' as const },
  ];
  const write = readRule({ not: { dueAt: { eq: '2026-01-31T12:00:00.5Z' } } }, { rule: 'doors', columns });
  const mayWrite = (dueAt: string) => () =>
    assertMayWrite(
      { isOpen: false, user: null },
      { columns, write } as unknown as Declaration,
      { dueAt: 'infinity' },
      { dueAt },
    );
  expect(mayWrite('2026-01-31T12:00:00.500Z')).toThrow('Only the owner');
  expect(mayWrite('2026-01-31T12:00:00.505Z')).not.toThrow();
});

test('a whole number is the same to a rule, however it is written', () => {
  class Safe {
    @Key(() => ID) id!: string;
    @Column(() => BigInt) level!: string;
  }
  Table('safes', { rights: { read: {}, write: { not: { level: { eq: '10' } } } } })(Safe);
  const table = declarationOf(Safe);
  const viewer = { isOpen: false, user: null };
  for (const level of ['10', '+10', '010', '+0010']) {
    expect(() => assertMayCreate(viewer, table, { level })).toThrow('do not let you create');
    expect(() => assertMayWrite(viewer, table, { level: '1' }, { level })).toThrow('Only the owner');
    expect(writableBy(viewer, table, { level })?.patch).toEqual({ level: '10' });
  }
  expect(() => assertMayCreate(viewer, table, { level: '+11' })).not.toThrow();
});

test('who the viewer is may stand in a column of texts, also where many are asked for at once', async () => {
  const { primary, config } = server.databases;
  await primary`create table notes (id uuid primary key default gen_random_uuid(), parent int, owner text)`;
  await primary`grant select on notes to readback_writer`;
  await primary`insert into notes (parent, owner) values (1, ${owner.id}), (1, ${other.id}), (2, ${owner.id})`;
  const columns = [
    { field: 'id', name: 'id', type: () => ID, form: kindOf(ID), kind: 'generated' as const, isKey: true },
    { field: 'parent', name: 'parent', type: () => Int, form: kindOf(Int), kind: 'value' as const },
    { field: 'owner', name: 'owner', type: () => String, form: kindOf(String), kind: 'value' as const },
  ];
  const read = readRule({ owner: { eq: { claim: 'sub' } } }, { rule: 'notes', columns });
  const declaration = { name: 'notes', one: 'note', columns, key: columns.slice(0, 1), orderBy: [], read };
  const notes = new Rows<{ id: string }>(declaration as unknown as Declaration);
  const parents = columns.slice(1, 2) as unknown as Declaration['columns'];
  const sql = connect(config.primary.url, { max: 1, connectTimeoutMs: 5000, applicationName: 'notes' });
  try {
    const questions = [owner, other].flatMap(({ id }) =>
      ['1', '2'].map((scope) => ({ scope, visibleTo: { sub: id, roles: [] } })),
    );
    const { rows } = await notes.countsUnder(sql, parents, questions);
    expect(rows.map(({ count }) => count)).toEqual([1, 1, 1, 0]);
  } finally {
    await sql.end();
    await primary`drop table notes`;
  }
});

test('what a rule asks of a row holds for it as the write finds it, and as the write makes it', async () => {
  const { primary, config } = server.databases;
  await primary`create table doors (id uuid primary key default gen_random_uuid(), state text, level int)`;
  await primary`grant select, update, delete on doors to readback_writer`;
  const columns = [
    { field: 'id', name: 'id', type: () => ID, form: kindOf(ID), kind: 'generated' as const, isKey: true },
    { field: 'state', name: 'state', type: () => String, form: kindOf(String), kind: 'value' as const },
    { field: 'level', name: 'level', type: () => Int, form: kindOf(Int), kind: 'value' as const },
  ];
  const key = columns.slice(0, 1);
  const place = { rule: 'doors', columns };
  const write = readRule({ or: [{ state: { eq: 'open' } }, { not: { level: { in: [1, 2] } } }] }, place);
  const declaration = { name: 'doors', one: 'door', columns, key, orderBy: [], read: readRule({}, place), write };
  const doors = new Rows<{ id: string }>(declaration as unknown as Declaration);
  const sql = connect(config.primary.url, { max: 1, connectTimeoutMs: 5000, applicationName: 'doors' });
  const claims = { sub: owner.id, roles: [] };
  const states = ['open', 'shut', null];
  const levels = [1, 3, null];
  try {
    for (const row of states.flatMap((state) => levels.map((level) => ({ state, level }))))
      for (const patch of [...states.map((state) => ({ state })), ...levels.map((level) => ({ level }))]) {
        const [{ id }] = await primary<[{ id: string }]>`insert into doors ${primary(row)} returning id`;
        const written = await doors.update(sql, doors.only(sql, id, { claims, patch }), patch);
        const isAllowed = meets(write, row, claims) && meets(write, { ...row, ...patch }, claims);
        expect([row, patch, written.length]).toEqual([row, patch, isAllowed ? 1 : 0]);
        const now = isAllowed ? { ...row, ...patch } : row;
        const deleted = await doors.delete(sql, doors.only(sql, id, { claims, patch: {} }));
        expect([now, deleted.length]).toEqual([now, meets(write, now, claims) ? 1 : 0]);
      }
  } finally {
    await sql.end();
    await primary`drop table doors`;
  }
});
