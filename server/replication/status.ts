import { untilGone } from '../lib/iterables.ts';
import { bytesBetween, formatLsn, type Lsn } from '../lib/lsn.ts';
import type { Drift } from '../setup/drift.ts';
import type { Monitor } from './monitor.ts';
import type { Primary } from './primary.ts';
import type { Replica } from './replica.ts';
import { adviceOf, type SlotCondition, type SlotView, type SlotWatch } from './slots.ts';
import type { ReplicaState } from './state.ts';

export interface SlotStatus extends Pick<SlotView, 'isActive' | 'heldBytes' | 'safeBytes'> {
  condition: Uppercase<SlotCondition>;
  advice: string | null;
}

export interface Status {
  at: string;
  /** `refusal`: it answers, and refuses writes. */
  primary: { reachable: boolean; position: string | null; reason: string | null; refusal: string | null };
  replicas: {
    name: string;
    state: Uppercase<ReplicaState>;
    /** Why it does not answer, or what it does not tell. */
    reason: string | null;
    position: string | null;
    lagMs: number | null;
    lagBytes: number | null;
    copyingTables: number;
    slot: SlotStatus | null;
  }[];
  feed: { phase: string; source: string | null; reason: string | null };
  /** What the application has changed about the primary's tables, and what follows it. */
  tables: readonly Drift[];
}

interface Watched {
  primary: Primary;
  replicas: readonly Replica[];
  monitor: Monitor;
  slots: SlotWatch;
  feed: () => Status['feed'];
  tables: () => Status['tables'];
}

/** All servers, as last seen by the monitor: asking costs them nothing. */
export class ReplicationStatus {
  readonly #watched: Watched;

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  now(): Status {
    const { primary, replicas, slots, feed, tables } = this.#watched;
    const { clock, reachable, refusal } = primary;
    const { latest } = clock;
    return {
      at: new Date().toISOString(),
      primary: { reachable, position: text(latest), reason: this.#untold(), refusal },
      replicas: replicas.map(({ name, view, reason }) => ({
        name,
        state: view.state.toUpperCase() as Uppercase<ReplicaState>,
        reason,
        position: text(view.applied),
        lagMs: view.lagMs,
        lagBytes: view.applied === null || latest === null ? null : bytesBetween(view.applied, latest),
        copyingTables: view.copying,
        slot: slotStatus(slots.of(name)),
      })),
      feed: feed(),
      tables: tables(),
    };
  }

  /** What the primary does not say, and why. */
  #untold(): string | null {
    const { primary, slots } = this.#watched;
    const { reason } = slots;
    return primary.reason ?? (reason && `its slots cannot be looked at: ${reason}`);
  }

  /** The status now, then at every change of a state, and each second while a lag moves. */
  changes(): AsyncGenerator<Status, void> {
    return untilGone((gone) => this.#changes(gone));
  }

  async *#changes(gone: AbortSignal): AsyncGenerator<Status, void> {
    let last = this.now();
    yield last;
    while (!gone.aborted) {
      await this.#watched.monitor.nextRound(gone);
      const next = this.now();
      if (!isNews(last, next)) continue;
      yield next;
      last = next;
    }
  }
}

function slotStatus(slot: SlotView | undefined): SlotStatus | null {
  if (!slot) return null;
  const { condition, isActive, heldBytes, safeBytes } = slot;
  const upper = condition.toUpperCase() as Uppercase<SlotCondition>;
  return { condition: upper, isActive, heldBytes, safeBytes, advice: adviceOf(slot) };
}

const text = (lsn: Lsn | null) => (lsn === null ? null : formatLsn(lsn));

function isNews(last: Status, next: Status): boolean {
  if (stateOf(last) !== stateOf(next)) return true;
  return lagOf(last) !== lagOf(next) && Date.parse(next.at) - Date.parse(last.at) >= 1000;
}

const stateOf = ({ primary, replicas, feed }: Status) =>
  [
    primary.reachable,
    primary.refusal,
    feed.phase,
    feed.source,
    ...replicas.map(({ state, slot }) => `${state} ${slot?.condition}`),
  ].join();
const lagOf = ({ replicas }: Status) => replicas.map(({ lagMs, lagBytes }) => `${lagMs} ${lagBytes}`).join();
