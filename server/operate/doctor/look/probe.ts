import type { Sql } from '../../../database/connect.ts';
import { arrival, beat } from '../../../setup/beat.ts';
import type { Server } from '../../../setup/requirements.ts';
import type { Probe } from '../facts.ts';

type Worker = Probe['worker'];

/**
 * Writes a heartbeat on the primary and waits for it on the replica: whatever stands between the two, known to these
 * checks or not, shows as one that is late.
 */
export async function probe(primary: Server, replica: Server, waitMs: number): Promise<Probe> {
  const started = performance.now();
  const target = await beat(primary);
  const outcome = await arrival(replica, target, waitMs);
  const waitedMs = performance.now() - started;
  const lag = await lagBytes(primary.admin, replica.admin);
  return {
    outcome,
    waitedMs,
    ...(await errorsOf(replica.admin)),
    worker: await workerOf(replica.admin),
    lagBytes: lag,
  };
}

/** They count failures since they were last reset: whether one is of now, the heartbeat tells. */
async function errorsOf(replica: Sql): Promise<{ applyErrors: number; syncErrors: number }> {
  const [row] = await replica<[{ apply: number; sync: number }?]>`
    select apply_error_count::int as apply, sync_error_count::int as sync from pg_stat_subscription_stats
    where subid = (select oid from pg_subscription where subname = 'readback'
      and subdbid = (select oid from pg_database where datname = current_database()))`;
  return { applyErrors: row?.apply ?? 0, syncErrors: row?.sync ?? 0 };
}

async function workerOf(replica: Sql): Promise<Worker> {
  const [row] = await replica<[{ pid: number; blockers: string[] }?]>`
    select s.pid, coalesce((
      select json_agg(format('process %s, %s of %s', a.pid, nullif(a.application_name, ''), a.usename))
      from pg_stat_activity a where a.pid = any(pg_blocking_pids(s.pid))), '[]') as blockers
    from pg_stat_subscription s where subname = 'readback' and relid is null and pid is not null
      and subid = (select oid from pg_subscription where subname = 'readback'
        and subdbid = (select oid from pg_database where datname = current_database()))
    limit 1`;
  return row ?? null;
}

async function lagBytes(primary: Sql, replica: Sql): Promise<number | null> {
  const [{ applied }] = await replica<[{ applied: bigint | null }]>`select applied from readback.position()`;
  const [{ flushed }] = await primary<[{ flushed: bigint }]>`select pg_current_wal_flush_lsn() as flushed`;
  return applied === null ? null : Math.max(0, Number(flushed - applied));
}
