import { afterAll, beforeAll, expect, test } from 'vitest';
import { disableSubscription } from '../../server/test/support/faults.ts';
import { migrated } from '../../server/test/support/managed.ts';
import { manage, MODELS, type Managed } from '../../server/test/support/models.ts';
import { ownServers, type OwnServers } from '../../server/test/support/standby.ts';

/** What it costs that a replica may ask for its origin by the slow one of the functions only. */
const ROWS = 10_000;
const ROUNDS = Number(process.env['SPEED_ROUNDS'] ?? 5);
const SLOW = { timeout: 60_000 + ROUNDS * 20_000 };

let servers: OwnServers;
/** The same logins: functions are granted in each database by itself. */
let all: { title: string; managed: Managed; times: number[] }[];

beforeAll(async () => {
  servers = await ownServers(['primary', 'replica'], { autovacuum: 'off', max_sync_workers_per_subscription: '8' });
  all = [];
  for (const model of [MODELS.M1, MODELS.M3]) {
    const managed = await manage(servers, model);
    await migrated(managed.config);
    await managed.primary`
      insert into users (username, email, password_hash)
      select n, n || '@example.com', '-' from generate_series(1, ${ROWS}::int) n`;
    all.push({ title: model.title, managed, times: [] });
  }
}, SLOW.timeout);
afterAll(async () => {
  for (const { managed } of all ?? []) await managed.end();
  await servers?.end();
}, SLOW.timeout);

/** From its commit on the primary until it can be read on the replica. */
async function updateMs({ primary, replica }: Managed): Promise<number> {
  const marker = crypto.randomUUID();
  await primary`update users set first_name = ${marker}`;
  const began = performance.now();
  const last = () => replica`select from users where username = '1' and first_name = ${marker}`;
  await expect.poll(async () => (await last()).length, { timeout: 60_000, interval: 4 }).toBe(1);
  return performance.now() - began;
}

/** The next one has the settings of its database. */
async function renewWorker(replica: Managed['replica']): Promise<void> {
  const enable = await disableSubscription(replica);
  const running = () => replica`
    select from pg_stat_activity where backend_type like 'logical replication%' and datname = current_database()`;
  await expect.poll(async () => (await running()).length, { timeout: 20_000 }).toBe(0);
  await enable();
}

const median = (times: number[]) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!;

test(`an update of ${ROWS} rows, by turns: what it takes is printed`, SLOW, async () => {
  for (const { managed } of all) await updateMs(managed);
  for (let round = 0; round < ROUNDS; round++)
    for (const { managed, times } of round % 2 === 0 ? all : all.toReversed()) times.push(await updateMs(managed));
  for (const { title, times } of all) console.log(`${title}: ${times.map(Math.round).join(', ')} ms`);
  const ratio = (of: (times: number[]) => number) => of(all[1]!.times) / of(all[0]!.times);
  const [medians, least] = [ratio(median), ratio((times) => Math.min(...times))].map((times) => times.toFixed(2));
  console.log(`${ROWS} rows: M3 takes ${medians} times as long as M1 by the medians, ${least} times by the least.`);
  expect(all.map(({ times }) => times.length)).toEqual([ROUNDS, ROUNDS]);
});

test('the origin is asked for once in a transaction, however many rows that has', SLOW, async () => {
  for (const { title, managed } of all) {
    const { database, replica } = managed;
    await replica.unsafe(`alter database ${database} set track_functions = 'pl'`);
    await renewWorker(replica);
    await updateMs(managed);
    const calls = async (name: string) => {
      const [row] = await replica<[{ calls: number }?]>`
        select calls::int from pg_stat_user_functions where schemaname = 'readback' and funcname = ${name}`;
      return row?.calls;
    };
    // The worker tells of both at once.
    await expect.poll(() => calls('log_change'), { timeout: 20_000 }).toBe(ROWS);
    expect([title, await calls('applied_before')]).toEqual([title, 1]);
  }
});
