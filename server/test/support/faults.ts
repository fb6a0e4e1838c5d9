import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { expect } from 'vitest';
import { exists, until } from '../../../infra/cluster/processes.ts';
import type { TestCluster } from './cluster.ts';

/** Ways to hold a replica's apply worker back, each undone by what it returns. */

/** Rows cannot be written, and can be read. */
export const holdApply = (replica: postgres.Sql) => lockUsers(replica, 'exclusive');

/** Rows can be neither written nor read. */
export const holdTable = (server: postgres.Sql) => lockUsers(server, 'access exclusive');

const lockUsers = (server: postgres.Sql, mode: 'exclusive' | 'access exclusive') =>
  hold(server, (sql) => sql.unsafe(`lock table users in ${mode} mode`));

/** These users cannot be written. */
export const holdRows = (server: postgres.Sql, ids: readonly string[]) =>
  hold(server, (sql) => sql`select from users where id in ${sql(ids)} for update`);

const LOCK_LOG = 'lock table readback.change_log in access exclusive mode';

/** Nobody reads the change log. */
export const holdLog = (replica: postgres.Sql) => hold(replica, (sql) => sql.unsafe(LOCK_LOG));

/** Prunes all of the log that can be, once who waits for it before has read it, and before who asks for it afterwards. */
export const pruneNext = (replica: postgres.Sql) =>
  replica.begin(async (sql) => {
    await sql.unsafe(LOCK_LOG);
    await sql`select readback.prune_log(0, 0, 100000)`;
  });

/** Until one statement of this kind waits for a lock. */
export const waits = (server: postgres.Sql, statement: string) =>
  expect
    .poll(
      () => server`select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and strpos(query, ${statement}) > 0`,
      { timeout: 9_000, interval: 10 },
    )
    .toHaveLength(1);

/** Keeps the locks of a statement. */
async function hold(
  server: postgres.Sql,
  lock: (sql: postgres.TransactionSql) => PromiseLike<unknown>,
): Promise<() => Promise<void>> {
  const held = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const transaction = server.begin(async (sql) => {
    await lock(sql);
    locked.resolve();
    await held.promise;
  });
  await Promise.race([locked.promise, transaction]);
  return async () => {
    held.resolve();
    await transaction;
  };
}

export async function disableSubscription(replica: postgres.Sql): Promise<() => Promise<void>> {
  await replica`alter subscription readback disable`;
  return async () => void (await replica`alter subscription readback enable`);
}

/** The name of the slot that the replica reads from. */
export async function slotOf(replica: postgres.Sql): Promise<string> {
  const [row] =
    await replica`select subslotname from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`;
  return row!['subslotname'] as string;
}

/** The subscription loses its slot, and knows nothing of it. */
export async function dropSlot(primary: postgres.Sql, replica: postgres.Sql): Promise<void> {
  const slot = await slotOf(replica);
  const enable = await disableSubscription(replica);
  // The worker ends a moment after the statement; until then the slot is active, and cannot be dropped.
  const dropIt = async () =>
    (await primary`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${slot}`)
      .length;
  await expect.poll(dropIt, { timeout: 10_000, interval: 20 }).toBe(1);
  await enable();
}

/** The connection over which changes stream breaks; the replica opens it again by itself. */
export async function cutOff(primary: postgres.Sql, replica: postgres.Sql): Promise<() => void> {
  await primary`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = ${await slotOf(replica)} and active`;
  return () => {};
}

/** The apply worker stands still, in the middle of whatever it does. */
export async function pauseWorker(replica: postgres.Sql): Promise<() => void> {
  const [row] = await replica`
      select pid from pg_stat_subscription w join pg_subscription s on s.oid = w.subid
      where s.subname = 'readback' and relid is null and pid is not null
        and s.subdbid = (select oid from pg_database where datname = current_database())`;
  if (!row) return () => {};
  signal(row['pid'], 'SIGSTOP');
  return () => signal(row['pid'], 'SIGCONT');
}

/** What is committed and not flushed stays so: nobody but a commit that waits for the disk writes it there. */
export async function pauseWalWriter(server: postgres.Sql): Promise<() => void> {
  const [row] = await server`select pid from pg_stat_activity where backend_type = 'walwriter'`;
  signal(row!['pid'], 'SIGSTOP');
  return () => signal(row!['pid'], 'SIGCONT');
}

/** The apply worker ends, and another one takes its place: returns when that streams. */
export async function restartWorker(replica: postgres.Sql): Promise<void> {
  const worker = async () =>
    (
      await replica`select pid from pg_stat_subscription where subname = 'readback' and relid is null and pid is not null`
    )[0]?.['pid'];
  const before = await worker();
  await replica`select pg_terminate_backend(pid) from pg_stat_subscription where subname = 'readback' and relid is null`;
  await expect.poll(worker, { timeout: 10_000, interval: 20 }).not.toBe(before);
  await expect.poll(worker, { timeout: 10_000, interval: 20 }).toBeDefined();
}

/** As when its machine goes: the postmaster and every process of it at once. */
export async function killServer({ dir }: TestCluster, name: string): Promise<void> {
  const pid = readFileSync(join(dir, name, 'postmaster.pid'), 'utf8').split('\n')[0]!;
  // Stopped, it forks no more: a child that is not in the list could wait for ever for a lock of one that is killed, and
  // the server could not start beside it.
  signal(Number(pid), 'SIGSTOP');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  for (const each of [pid, ...children]) signal(Number(each), 'SIGKILL');
  // A zombie until its parent, which starts it again, has noticed.
  if (!(await until(() => !exists(Number(pid)), 10_000))) throw new Error(`process ${pid} does not end`);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself meanwhile.
  }
}
