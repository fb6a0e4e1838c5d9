import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { expect } from 'vitest';
import type { OwnCluster } from '../support/cluster.ts';
import { killServer } from '../support/faults.ts';

/** Starts again what was killed. */
export type Undo = () => Promise<unknown>;

/** As a crash of its machine would. */
export async function crash(cluster: OwnCluster, name: string): Promise<Undo> {
  await killServer(cluster, name);
  return () => cluster.control.startServer(name);
}

/** The next worker knows nothing of what this one had not flushed. */
export const killWorker = (replica: postgres.Sql) => endBackends(replica, 'logical replication apply worker');

/** The test's own connection may be one that the last crash broke: then once more. */
export async function endBackends(replica: postgres.Sql, which: string): Promise<void> {
  const end = () =>
    replica`
      select pg_terminate_backend(pid) from pg_stat_activity where application_name like ${which} or backend_type like ${which}`.then(
      () => true,
      () => false,
    );
  await expect.poll(end, { timeout: 10_000, message: `backends named ${which} can be ended` }).toBe(true);
}

/** The new worker has begun by then, or not; the replica's WAL writer has flushed, or not. */
export async function killWorkerThenReplica(
  cluster: OwnCluster,
  replica: postgres.Sql,
  name: string,
  gapMs: number,
): Promise<Undo> {
  await killWorker(replica);
  await sleep(gapMs);
  return crash(cluster, name);
}

/** A primary that is told to stop asks its replicas for a reply, whatever their status interval is. */
export async function killWorkerStopPrimaryKillReplica(
  cluster: OwnCluster,
  replica: postgres.Sql,
  name: string,
  gapMs: number,
): Promise<Undo> {
  await killWorker(replica);
  const stopped = cluster.control.stopServer('primary');
  await sleep(gapMs);
  await killServer(cluster, name);
  await stopped;
  return async () => {
    await cluster.control.startServer('primary');
    await cluster.control.startServer(name);
  };
}
