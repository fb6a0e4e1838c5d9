import { later, type Lsn } from '../lib/lsn.ts';

/**
 * What a replica is, from what was seen of it. Pure: every fact and the clock come in as arguments.
 *
 *   (start) ─> reachable ─> copying ─> streaming <─> lagging
 *                  any ─> disabled | reachable | down, and back, as the next look finds it
 *                  any ─> lost, and back by way of a fresh copy
 */
export const REPLICA_STATES = ['down', 'reachable', 'disabled', 'copying', 'lagging', 'streaming', 'lost'] as const;

export type ReplicaState = (typeof REPLICA_STATES)[number];

/** What one look at the replica found. */
export interface Look {
  /**
   * There is no subscription, or the slot that it needs is gone, or a transaction that the slot does not send again:
   * whatever arrives, only a copy makes it whole.
   */
  lost: boolean;
  /** It has what was seen there before a connection broke. */
  proven: boolean;
  /** The slot that its subscription names. */
  slot: string | null;
  enabled: boolean;
  /** The apply worker runs. */
  working: boolean;
  /** Tables still in their initial copy. */
  copying: number;
  /** Where its latest transaction ended. May be known before that transaction can be read. */
  progress: Lsn | null;
  /** What it has applied for certain. */
  applied: Lsn | null;
}

export type Observation = { kind: 'looked'; look: Look } | { kind: 'unreachable' };

export interface ReplicaView {
  state: ReplicaState;
  /** Reads see everything up to here. Null: not known. */
  applied: Lsn | null;
  progress: Lsn | null;
  slot: string | null;
  copying: number;
  lagMs: number | null;
  /** False: it may have lost what was seen there, so neither its positions nor its log are believed. */
  proven: boolean;
}

export const UNKNOWN: ReplicaView = {
  state: 'down',
  applied: null,
  progress: null,
  slot: null,
  copying: 0,
  lagMs: null,
  proven: false,
};

/**
 * The view after an observation. Positions go back to unknown when the replica could not be reached: after a crash it
 * may have forgotten its latest transactions, and applies them again, or never gets them again (docs/positions.md).
 */
export function observe(
  view: ReplicaView,
  observation: Observation,
  lagOf: (applied: Lsn) => number | null,
  maxLagMs: number,
): ReplicaView {
  if (observation.kind === 'unreachable') return UNKNOWN;
  const { look } = observation;
  const applied = look.proven ? believe(view, look) : null;
  const lagMs = applied === null ? null : lagOf(applied);
  return {
    state: classify(look, applied, lagMs, maxLagMs),
    applied,
    progress: look.progress,
    slot: look.slot,
    copying: look.copying,
    lagMs,
    proven: look.proven,
  };
}

/** Of two different progress values seen, the earlier one is visible: its successor has begun to commit. */
function believe(view: ReplicaView, look: Look): Lsn | null {
  const earlier = view.progress !== null && look.progress !== view.progress ? view.progress : null;
  return [view.applied, earlier, look.applied].reduce(laterOrNull, null);
}

const laterOrNull = (a: Lsn | null, b: Lsn | null) => (a === null ? b : b === null ? a : later(a, b));

function classify(look: Look, applied: Lsn | null, lagMs: number | null, maxLagMs: number): ReplicaState {
  if (look.lost) return 'lost';
  if (!look.enabled) return 'disabled';
  if (look.copying > 0) return 'copying';
  if (!look.working || applied === null) return 'reachable';
  return lagMs !== null && lagMs > maxLagMs ? 'lagging' : 'streaming';
}
