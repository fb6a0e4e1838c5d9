import type { Lsn } from './lsn.ts';

/** A timeline of a cluster: what positions are counted on. */
export interface Identity {
  cluster: bigint;
  timeline: number;
}

/**
 * The primary's own history. A promotion of a standby, or a recovery to a point in time, begins a new timeline, which
 * shares everything up to where the earlier one ended:
 *
 *   timeline 1 ─────────────┬──────▶ lost
 *                           └─ timeline 2 ─────▶
 */
export interface History extends Identity {
  /** Where each earlier timeline ended. */
  ends: ReadonlyMap<number, Lsn>;
}

/** Whether a position that was given out on some timeline is of this history, and not of a future that was lost. */
export function isOf({ timeline, ends }: History, of: number, lsn: Lsn): boolean {
  if (of === timeline) return true;
  const end = ends.get(of);
  return end !== undefined && lsn <= end;
}
