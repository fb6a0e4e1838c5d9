import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UpdateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { startServer } from './support/server.ts';

/** The primary answers, and does not do what it is asked. */
let databases: TestDatabases;
let id: string;
beforeAll(async () => {
  databases = await freshDatabases();
  const [row] = await databases.primary`
    insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-') returning id`;
  id = row!['id'] as string;
});
afterAll(() => databases.drop());

/** Returns whether a write is taken after all. */
async function refusing(refuse: () => Promise<() => Promise<unknown>>, message: RegExp, words: string) {
  const lines: string[] = [];
  const server = await startServer({ LOG_LEVEL: 'warn', MONITOR_INTERVAL_MS: 50 }, databases, {
    write: (line) => lines.push(line),
  });
  const health = async () => (await server.rest('GET', '/health')).body;
  const writable = async () =>
    /^readback_primary_writes (\d)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1];
  await expect.poll(async () => (await health()).status).toBe('healthy');
  const permit = await refuse();
  const write = () => server.query(UpdateUserDocument, { id, input: { firstName: 'Ada' } });
  // The first one may find that its connection was closed, before anything is refused.
  await expect
    .poll(async () => (await write()).errors)
    .toMatchObject([{ message: expect.stringMatching(message), extensions: { code: 'PRIMARY_UNAVAILABLE' } }]);
  expect(await health()).toMatchObject({
    status: 'unhealthy',
    writes: false,
    reads: true,
    message: expect.stringContaining(words),
    primary: { reachable: true, refusal: expect.stringContaining(words) },
  });
  expect(await writable()).toBe('0');
  expect((await server.query(UserDocument, { id })).errors).toEqual([]);
  for (let round = 0; round < 3; round++) await write();
  const told = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.startsWith('The primary refuses'));
  expect(told).toHaveLength(1);
  expect(told[0].err.message).toContain(words);

  await permit();
  await expect.poll(async () => (await health()).writes, { timeout: 10_000 }).toBe(true);
  const after = { errors: (await write()).errors, writable: await writable() };
  await server.stop();
  return after;
}

const WRITES = { errors: [], writable: '1' };

/** A file that takes nothing, where there is one: the server's own error is what a full disk's is. */
const FULL = '/dev/full';

test(
  'a primary without room on its disk: writes say so, and health, metrics and the log do',
  { skip: !existsSync(FULL) },
  async () => {
    const after = await refusing(
      async () => {
        await databases.primary.unsafe(`
          create function full_disk() returns trigger language plpgsql security definer as
            $$ begin copy (select repeat('x', 100000)) to '${FULL}'; return null; end $$;
          create trigger full_disk before update on users for each statement execute function full_disk();
          create trigger full_disk before update on readback.heartbeat for each statement execute function full_disk()`);
        return () => databases.primary.unsafe('drop function full_disk cascade');
      },
      /primary has no room left on its disk/,
      'No space left on device',
    );
    expect(after).toEqual(WRITES);
  },
);

test('a primary whose connections are used up: the same, until there are some', async () => {
  const after = await refusing(
    async () => {
      // What writes is not connected yet, or not any more: whatever is, stays so.
      await databases.primary.unsafe(`alter database ${databases.name} connection limit 0`);
      await databases.primary`
        select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = current_database() and application_name = 'readback writes'`;
      return () => databases.primary.unsafe(`alter database ${databases.name} connection limit -1`);
    },
    /primary takes no more connections/,
    'too many connections for database',
  );
  expect(after).toEqual(WRITES);
});
