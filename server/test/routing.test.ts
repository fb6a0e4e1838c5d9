import { afterAll, beforeAll, expect, test } from 'vitest';
import { CreateUserDocument, UpdateUserDocument } from '../../schema/generated/operations.ts';
import { startServer, type TestServer } from './support/server.ts';

let server: TestServer;
let ids: string[];
let bookmark: string;

beforeAll(async () => {
  // The monitor looks rarely here, so that what is counted is what requests cost.
  server = await startServer({ MONITOR_INTERVAL_MS: 60_000 });
  const rows = await server.databases.primary`
    insert into users (username, email, password_hash) select 'u' || n, n || '@example.com', '-' from generate_series(1, 50) n returning id`;
  ids = rows.map((row) => row['id']);
  ({
    readback: { bookmark },
  } = await server.query('{ users(first: 1) { totalCount } }', {}, { 'readback-consistency': 'strong' }));
});
afterAll(() => server.stop());

const reads = /readback reads of replica-1/;
const anyOfOurs = /^readback (reads|writes)/;

test('50 aliased users cost one statement on the replica and none on the primary', async () => {
  const onReplica = server.databases.statements('replica-1', reads);
  const onPrimary = server.databases.statements('primary', anyOfOurs);
  const fields = ids.map((id, index) => `u${index}: user(id: "${id}") { id username }`).join('\n');
  const { data } = await server.query<Record<string, { id: string }>, object>(
    `{ ${fields} }`,
    {},
    { 'readback-bookmark': bookmark },
  );
  expect(Object.values(data).map(({ id }) => id)).toEqual(ids);
  expect(onReplica()).toHaveLength(1);
  expect(onPrimary()).toEqual([]);
});

test('50 concurrent requests share statements', async () => {
  const all = () =>
    Promise.all(
      ids.map((id) =>
        server.query<{ user: { id: string } }, object>(
          'query ($id: ID!) { user(id: $id) { id } }',
          { id },
          { 'readback-bookmark': bookmark },
        ),
      ),
    );
  await all(); // opens the client's connections
  const onReplica = server.databases.statements('replica-1', reads);
  const answers = await all();
  expect(answers.map(({ data }) => data.user.id)).toEqual(ids);
  expect(onReplica().length).toBeLessThanOrEqual(25);
});

test('one id asked for twice is sent once; ids differing in case are one', async () => {
  const onReplica = server.databases.statements('replica-1', reads);
  const id = ids[0]!;
  const { data } = await server.query(
    `{ a: user(id: "${id}") { id } b: user(id: "${id.toUpperCase()}") { id } }`,
    {},
    { 'readback-bookmark': bookmark },
  );
  expect(data).toEqual({ a: { id }, b: { id } });
  expect(onReplica()).toHaveLength(1);
});

test('a page without totalCount is one statement, with it two', async () => {
  const onReplica = server.databases.statements('replica-1', reads);
  await server.query('{ users { nodes { id } } }');
  expect(onReplica()).toHaveLength(1);
  await server.query('{ users { totalCount nodes { id } } }');
  expect(onReplica()).toHaveLength(3);
});

test('a mutation touches the primary alone: one statement, and one for its position', async () => {
  const onReplica = server.databases.statements('replica-1', reads);
  const onPrimary = server.databases.statements('primary', anyOfOurs);
  const created = await server.query(CreateUserDocument, {
    input: { username: 'fresh', email: 'fresh@example.com', password: 'correct horse' },
  });
  await server.query(UpdateUserDocument, { id: created.data.createUser.user.id, input: { firstName: 'x' } });
  expect(onPrimary().map((statement) => statement.split(' ')[0])).toEqual(['insert', 'select', 'update', 'select']);
  expect(onReplica()).toEqual([]);
});

test('an update of one user between two reads in one document is seen by the second', async () => {
  const id = ids[1]!;
  const set = (name: string) => `updateUser(id: "${id}", input: { firstName: "${name}" }) { user { firstName } }`;
  const { data } = await server.query(`mutation { a: ${set('one')} b: ${set('two')} }`);
  expect(data).toEqual({ a: { user: { firstName: 'one' } }, b: { user: { firstName: 'two' } } });
});
