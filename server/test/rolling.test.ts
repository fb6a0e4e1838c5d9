import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startBalancer, type Balancer } from './support/balancer.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { ResumingClient } from './support/feed-clients.ts';
import { ownProcess, type OwnProcess } from './support/own-process.ts';

/** Two servers over one pair, each in a process of its own, behind a load balancer. */
let databases: TestDatabases;
let servers: OwnProcess[] = [];
let balancer: Balancer | undefined;
/** The balancer looks every 50 ms, and on a busy machine late; a connection that is idle is used meanwhile, and told. */
const settings = { SHUTDOWN_DRAIN_MS: '3000', MONITOR_INTERVAL_MS: '100' };

beforeAll(async () => {
  databases = await freshDatabases();
  for (let n = 0; n < 2; n++) servers.push(await ownProcess(databases.config, settings));
  await Promise.all(servers.map((server) => server.start()));
  balancer = await startBalancer(servers.map(({ url }) => url));
}, 120_000);
afterAll(async () => {
  await balancer?.stop();
  await Promise.all(servers.map((server) => server.stop()));
  await databases.drop();
});

const post = async (query: string, bookmark?: string) => {
  const headers = { 'content-type': 'application/json', ...(bookmark && { 'readback-bookmark': bookmark }) };
  const response = await fetch(`${balancer!.url}/graphql`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ query }),
  });
  const { data, errors } = (await response.json()) as any;
  if (response.status !== 200 || errors) throw new Error(JSON.stringify({ status: response.status, errors }));
  return data;
};

async function createUser(name: string): Promise<string> {
  const [row] = await databases.primary`
    insert into users (username, email, password_hash) values (${name}, ${name}, '-') returning id`;
  return row!['id'] as string;
}

/** A client that writes, and reads what it wrote, over and over, until something fails. */
function load(id: string) {
  let goesOn = true;
  const written: string[] = [];
  const failures: string[] = [];
  const once = async (firstName: string) => {
    const { updateUser } = await post(
      `mutation { updateUser(id: "${id}", input: { firstName: "${firstName}" }) { bookmark } }`,
    );
    written.push(`UPDATE ${id} ${firstName}`);
    const { user } = await post(`{ user(id: "${id}") { firstName } }`, updateUser.bookmark);
    if (user?.firstName !== firstName) throw new Error(`read ${JSON.stringify(user)}, wrote ${firstName}`);
  };
  onTestFinished(() => void (goesOn = false));
  const work = (async () => {
    for (let n = 0; goesOn && failures.length === 0; n++)
      await once(`n${n}`).catch(({ message, cause }: Error) =>
        failures.push(`${message} ${(cause as Error | undefined)?.message}`),
      );
  })();
  const end = async () => {
    goesOn = false;
    await work;
    return { written, failures };
  };
  return { written, failures, end };
}

/** A client may be told of the users that were made right before it came, or not. */
const toldOf = ({ told }: ResumingClient) => told.filter((text) => !text.startsWith('INSERT'));

test(
  'GUARANTEE a rolling restart: no request fails, and every subscriber gets every event once, in one order',
  { timeout: 90_000 },
  async () => {
    const users = await Promise.all(['one', 'two', 'three'].map(createUser));
    const clients = Array.from({ length: 6 }, () => new ResumingClient(balancer!.url));
    await Promise.all(clients.map((client) => client.ready));
    const loads = users.map(load);
    const more = async () => {
      const counts = loads.map(({ written }) => written.length);
      while (
        loads.every(({ failures }) => failures.length === 0) &&
        !loads.every(({ written }, index) => written.length > counts[index]! + 5)
      )
        await sleep(10);
    };
    await more();
    for (const server of servers) {
      await server.stop();
      await more();
      await server.start();
      await balancer!.sees(server.url, true);
      await more();
    }
    const ended = await Promise.all(loads.map((one) => one.end()));
    const last = 'the-last-one';
    const reached = clients.map((client) => client.reached(last));
    await databases.primary`update users set first_name = ${last} where id = ${users[0]!}`;
    await Promise.all(reached);

    expect(ended.flatMap(({ failures }) => failures)).toEqual([]);
    const written = [...ended.flatMap((one) => one.written), `UPDATE ${users[0]} ${last}`];
    for (const client of clients) expect(toldOf(client).toSorted()).toEqual(written.toSorted());
    // The order is the same for all, and each has come back at least once.
    expect(new Set(clients.map((client) => toldOf(client).join())).size).toBe(1);
    expect(clients.every(({ resumes }) => resumes > 0)).toBe(true);
    for (const client of clients) client.stop();
    console.log(
      `rolling restart: ${written.length} writes, as many reads, ${clients.reduce((sum, { resumes }) => sum + resumes, 0)} sockets moved`,
    );
  },
);

test('a second signal ends a server at once', async () => {
  const server = await ownProcess(databases.config, { SHUTDOWN_DRAIN_MS: '9000' });
  await server.start();
  const stopped = server.stop();
  await expect.poll(async () => (await fetch(`${server.url}/health/ready`)).status).toBe(503);
  const started = performance.now();
  process.kill(server.pid(), 'SIGTERM');
  await stopped;
  expect(performance.now() - started).toBeLessThan(2000);
});
