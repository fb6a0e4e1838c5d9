/**
 * What the feed's reader does. Pure.
 *
 *   starting ─> catchingUp <─> live
 *       any ─> degraded ─> catchingUp        any ─> stopped
 */
export type FeedState =
  | { phase: 'starting' }
  | { phase: 'catchingUp'; source: string }
  | { phase: 'live'; source: string }
  | { phase: 'degraded'; reason: string }
  | { phase: 'stopped' };

export type FeedStep =
  /** A replica's log is being read. */
  | { kind: 'opened'; source: string }
  /** A batch was read; `owes`: more may lie after it. */
  | { kind: 'read'; owes: boolean }
  /** The log cannot be read, or not be trusted. */
  | { kind: 'lost'; reason: string }
  | { kind: 'stopped' };

export function feedStep(state: FeedState, step: FeedStep): FeedState {
  if (state.phase === 'stopped') return state;
  switch (step.kind) {
    case 'opened':
      return { phase: 'catchingUp', source: step.source };
    case 'read':
      return read(state, step.owes);
    case 'lost':
      return { phase: 'degraded', reason: step.reason };
    case 'stopped':
      return { phase: 'stopped' };
  }
}

/** Live stays live through a full batch: whoever follows is not behind for longer than the next one takes. */
function read(state: FeedState, owes: boolean): FeedState {
  return state.phase === 'catchingUp' && !owes ? { phase: 'live', source: state.source } : state;
}

/** For people: the phase in capitals, the replica that is read, and why none is. */
export function describeFeed(state: FeedState): { phase: string; source: string | null; reason: string | null } {
  const phase = state.phase === 'catchingUp' ? 'CATCHING_UP' : state.phase.toUpperCase();
  return {
    phase,
    source: 'source' in state ? state.source : null,
    reason: 'reason' in state ? state.reason : null,
  };
}
