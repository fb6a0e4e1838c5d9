import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import type { Random } from '../support/history.ts';

const MOST_MS = 1000;
const LOOK_MS = 10;

/**
 * Waits until no connected replica is further behind the primary than so many bytes of write-ahead log, a second at most.
 */
export async function waitForReplicas(primary: postgres.Sql, allowed: number): Promise<void> {
  for (const deadline = Date.now() + MOST_MS; (await distance(primary)) > allowed; await sleep(LOOK_MS))
    if (Date.now() > deadline) return;
}

/** Drawn for each step: kills then find replicas that have everything, that lack one transaction, and that lack many. */
export function drawDistance(random: Random): number {
  const distances = [0, 20_000, 200_000, 2_000_000];
  return distances[Math.floor(random() * distances.length)]!;
}

/** Elsewhere something is always written: what a keepalive has not told of yet is no distance. */
const UNTOLD = 5000;

async function distance(primary: postgres.Sql): Promise<number> {
  const [row] = await primary<[{ bytes: number }]>`
    select coalesce(max(pg_current_wal_lsn() - write_lsn), 0)::float as bytes from pg_stat_replication r
    join pg_replication_slots s on s.active_pid = r.pid and s.database = current_database() and s.plugin = 'pgoutput'`;
  return row.bytes - UNTOLD;
}
