import { afterAll, beforeAll, expect, test } from 'vitest';
import { ArrivalsDocument, CreateUserDocument } from '../../schema/generated/operations.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { disableSubscription } from './support/faults.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

let databases: TestDatabases;
let server: TestServer;

beforeAll(async () => {
  databases = await freshDatabases({ replicas: 2 });
  server = await startServer({ MONITOR_INTERVAL_MS: 100, BOOKMARK_WAIT_MS: 10 }, databases);
});
afterAll(async () => {
  await server.stop();
  await databases.drop();
});

let serial = 0;
async function create(): Promise<string> {
  const username = `a-${++serial}`;
  const input = { username, email: `${username}@example.com`, password: 'correct horse' };
  return (await server.query(CreateUserDocument, { input })).data.createUser.bookmark;
}

const arrivals = (bookmark: string) => subscribeTo(server.websocket(), ArrivalsDocument, { bookmark });

test('each replica is told once, and then the subscription ends; a write long applied is told at once', async () => {
  const bookmark = await create();
  const first = arrivals(bookmark);
  const told = [(await first.next()).arrivals, (await first.next()).arrivals];
  expect(told.map(({ replica }) => replica).toSorted()).toEqual(['replica-1', 'replica-2']);
  await expect(first.next()).rejects.toThrow('the subscription has ended');
  const again = arrivals(bookmark);
  expect((await again.next()).arrivals.waitedMs).toBe(0);
  expect((await again.next()).arrivals.waitedMs).toBe(0);
});

test('a replica that stands still is told when it has come, past every bound', async () => {
  const enable = await disableSubscription(databases.replicas[1]!);
  const events = arrivals(await create());
  expect((await events.next()).arrivals.replica).toBe('replica-1');
  const late = events.next();
  await enable();
  expect((await late).arrivals.replica).toBe('replica-2');
});

test('a bookmark that is none is refused', async () => {
  expect((await arrivals('nonsense').failure())[0]!.extensions.code).toBe('BAD_BOOKMARK');
});
