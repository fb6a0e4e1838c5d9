import { setTimeout as sleep } from 'node:timers/promises';
import type { Lsn } from '../lib/lsn.ts';
import type { Server } from './requirements.ts';

/** Writes the heartbeat row; what a replica has applied beyond the returned position came after everything before. */
export async function beat({ admin }: Server): Promise<Lsn> {
  await admin`update readback.heartbeat set beat_at = clock_timestamp()`;
  const [{ flushed }] = await admin<[{ flushed: Lsn }]>`select pg_current_wal_flush_lsn() as flushed`;
  return flushed;
}

/** Waits for the replica to apply what the primary wrote up to `target`, no longer than `timeoutMs`. */
export async function arrival(
  { admin }: Server,
  target: Lsn,
  timeoutMs: number,
): Promise<'arrived' | 'disabled' | 'late'> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(10)) {
    const [state] = await admin<
      [{ applied: Lsn | null; enabled: boolean | null }]
    >`select applied, enabled from readback.position()`;
    if (!state.enabled) return 'disabled';
    if (state.applied !== null && state.applied >= target) return 'arrived';
    if (Date.now() > deadline) return 'late';
  }
}
