import { afterAll, beforeAll, expect, test } from 'vitest';
import { CreateUserDocument, UpdateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { examine } from './support/doctor.ts';
import { startServer } from './support/server.ts';

/** What the primary refuses is told as refused, in PostgreSQL's own words. */
let databases: TestDatabases;
beforeAll(async () => {
  databases = await freshDatabases();
});
afterAll(() => databases.drop());

const input = { username: 'ada', email: 'ada@example.com', password: 'correct horse' };
const strong = { 'readback-consistency': 'strong' };

test('where nobody may read files, nothing is missed on the first timeline, and nothing is told', async () => {
  const role = `nobody_${databases.name}`;
  await databases.primary.unsafe(`create role ${role}; grant usage on schema readback to ${role}`);
  const [owner] = await databases.primary`select current_user as name`;
  await databases.primary.unsafe(`alter function readback.timelines() owner to ${role}`);
  expect(await databases.primary`select * from readback.timelines()`).toEqual([]);
  const server = await startServer({ MONITOR_INTERVAL_MS: 50 }, databases);
  const { data } = await server.query(CreateUserDocument, {
    input: { ...input, username: 'eve', email: 'e@x.example' },
  });
  expect(data.createUser.bookmark).toHaveLength(28);
  await expect.poll(async () => (await server.rest('GET', '/health')).body.status).toBe('healthy');
  expect(await examine(databases.config)).not.toContainEqual(expect.objectContaining({ check: 'timelines' }));
  await server.stop();
  await databases.primary.unsafe(`alter function readback.timelines() owner to "${owner!['name']}"`);
  await databases.primary.unsafe(`drop owned by ${role}; drop role ${role}`);
});

test('where the history of timelines is denied, bookmarks are whole, strong reads work, and it is told', async () => {
  await databases.primary`revoke execute on function readback.timelines() from readback_reader, readback_writer`;
  const lines: string[] = [];
  const server = await startServer({ LOG_LEVEL: 'warn', MONITOR_INTERVAL_MS: 50 }, databases, {
    write: (line) => lines.push(line),
  });
  const { data, errors } = await server.query(CreateUserDocument, { input });
  expect(errors).toEqual([]);
  const { bookmark, user } = data.createUser;
  expect(bookmark).toHaveLength(28);
  const read = await server.query(UserDocument, { id: user.id }, { 'readback-bookmark': bookmark });
  expect(read.data.user).toMatchObject({ username: 'ada' });
  expect((await server.query(UserDocument, { id: user.id }, strong)).data.user).toMatchObject({ username: 'ada' });

  const denied = 'permission denied for function timelines';
  const { body } = await server.rest('GET', '/health');
  expect(body).toMatchObject({ status: 'degraded', writes: true, message: expect.stringContaining(denied) });
  expect(body.primary).toMatchObject({ reachable: true, reason: expect.stringContaining(denied) });
  const told = lines.map((line) => JSON.parse(line)).filter(({ err }) => err?.message === denied);
  expect(told).toHaveLength(1);
  expect(await examine(databases.config)).toContainEqual(
    expect.objectContaining({ check: 'privilege', found: expect.stringContaining('readback.timelines()') }),
  );
  await server.stop();
  await databases.primary`grant execute on function readback.timelines() to readback_reader, readback_writer`;
});

test('where the position is denied, writes fail closed, with the reason, and none is given out without a bookmark', async () => {
  await databases.primary`revoke execute on function readback.identity() from readback_reader, readback_writer`;
  const lines: string[] = [];
  const server = await startServer({ LOG_LEVEL: 'warn', MONITOR_INTERVAL_MS: 50 }, databases, {
    write: (line) => lines.push(line),
  });
  const id = crypto.randomUUID();
  expect(await server.failure(UpdateUserDocument, { id, input: { firstName: 'x' } })).toBe('PRIMARY_UNAVAILABLE');
  expect(await server.failure(UserDocument, { id }, strong)).toBe('PRIMARY_UNAVAILABLE');
  const denied = 'permission denied for function identity';
  const { body } = await server.rest('GET', '/health');
  expect(body).toMatchObject({ status: 'unhealthy', message: expect.stringContaining(denied) });
  expect(lines.map((line) => JSON.parse(line).err?.message)).toContain(denied);
  await databases.primary`grant execute on function readback.identity() to readback_reader, readback_writer`;
  await expect.poll(async () => (await server.rest('GET', '/health')).body.primary.reason).toBe(null);
  expect(await server.failure(UpdateUserDocument, { id, input: { firstName: 'x' } })).toBe('NOT_FOUND id');
  await server.stop();
});
