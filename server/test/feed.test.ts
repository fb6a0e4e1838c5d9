import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChangesDocument, type ChangesSubscription } from '../../schema/generated/operations.ts';
import { freshDatabases, type TestDatabases } from './databases.ts';
import { startServer, type TestServer } from './server.ts';
import { subscribeTo, type Events } from './subscribe.ts';

let databases: TestDatabases;
let server: TestServer;

beforeAll(async () => {
  databases = await freshDatabases({ replicas: 2 });
  server = await startServer({ MONITOR_INTERVAL_MS: 100 }, databases);
});
afterAll(async () => {
  await server.stop();
  await databases.drop();
});

type Event = ChangesSubscription['changes'];

/** The next event that is of one of these types. */
async function next<Name extends Event['__typename']>(events: Events<ChangesSubscription>, ...names: Name[]) {
  for (;;) {
    const { changes } = await events.next();
    if ((names as string[]).includes(changes.__typename)) return changes as Extract<Event, { __typename: Name }>;
    if (changes.__typename !== 'CaughtUp') throw new Error(`unexpected ${JSON.stringify(changes)}`);
  }
}

let serial = 0;
const insert = (count: number) => databases.primary<{ id: string }[]>`
  insert into users (username, email, password_hash)
  select 'f' || n, 'f' || n || '@example.com', '-' from generate_series(${serial + 1}::int, ${(serial += count)}::int) n returning id`;

const changes = (variables: object = {}) => subscribeTo(server.websocket(), ChangesDocument, variables);

test('CaughtUp says that the subscription is ready; what happens then arrives, with cursors that replay it', async () => {
  const events = changes();
  const ready = await next(events, 'CaughtUp');
  const rows = await insert(3);
  const seen = [await next(events, 'UserChange'), await next(events, 'UserChange'), await next(events, 'UserChange')];
  expect(seen.map(({ key }) => key)).toEqual(rows.map(({ id }) => id));
  await events.end();

  const again = changes({ after: ready.cursor });
  for (const change of seen) expect(await next(again, 'UserChange')).toEqual(change);
  const caughtUp = await next(again, 'CaughtUp');
  await again.end();
  const rest = changes({ after: seen[1]!.cursor });
  expect(await next(rest, 'UserChange')).toEqual(seen[2]);
  await rest.end();
  const behind = changes({ after: caughtUp.cursor });
  const [row] = await insert(1);
  expect(await next(behind, 'UserChange')).toMatchObject({ key: row!.id });
  await behind.end();
});
