import { isUnavailable } from '../database/errors.ts';
import type { Slot } from '../database/sql/slots.ts';
import type { Logger } from '../lib/logger.ts';
import { wordsOf, type Complain } from '../lib/complaints.ts';
import { shared } from '../lib/shared.ts';
import type { Replica } from './replica.ts';

/**
 * What a slot is for the primary, the better first, and how it is logged. excessive: it holds more than
 * SLOT_WAL_MAX_BYTES, or the primary is about to give it up by itself. lost: it is gone, or was given up: its replica must
 * be copied again.
 */
const LEVELS = { well: 'info', large: 'warn', excessive: 'error', lost: 'error' } as const;

export type SlotCondition = keyof typeof LEVELS;

export interface SlotView extends Slot {
  /** Whose it is; null: of none that was seen since the server started. */
  replica: string | null;
  condition: SlotCondition;
}

interface SlotLimits {
  warnBytes: number;
  maxBytes: number;
}

/** Pure. `owners`: the replicas by the slot that each names. */
function viewOf(rows: readonly Slot[], owners: ReadonlyMap<string, string>, limits: SlotLimits): readonly SlotView[] {
  const known = new Set(rows.map(({ name }) => name));
  const gone = [...owners.keys()].filter((name) => !known.has(name));
  return [...rows, ...gone.map(missing)].map((row) => ({
    ...row,
    replica: owners.get(row.name) ?? null,
    condition: conditionOf(row, limits),
  }));
}

const missing = (name: string): Slot => ({
  name,
  isActive: false,
  walStatus: 'lost',
  heldBytes: null,
  owedBytes: null,
  limitBytes: null,
  safeBytes: null,
  inactiveSince: null,
  invalidationReason: 'dropped',
  isFailover: null,
});

function conditionOf({ walStatus, heldBytes }: Slot, { warnBytes, maxBytes }: SlotLimits): SlotCondition {
  if (walStatus === 'lost') return 'lost';
  if (walStatus === 'unreserved' || (heldBytes ?? 0) > maxBytes) return 'excessive';
  return (heldBytes ?? 0) > warnBytes ? 'large' : 'well';
}

/** How grave it is: one more each time that what it holds has doubled, so that the log tells of it a few times, not each time. */
function gravityOf({ condition, heldBytes }: SlotView, { warnBytes }: SlotLimits): string {
  const doubled = condition === 'well' ? 0 : Math.floor(Math.log2(Math.max(1, (heldBytes ?? 0) / warnBytes)));
  return `${condition} ${doubled}`;
}

/** For whom it may concern at night: what is, and what to do. Null where all is well. */
export function adviceOf(slot: SlotView): string | null {
  const { condition, isActive, replica, heldBytes, owedBytes, invalidationReason } = slot;
  const whose = replica ?? 'a replica that this server does not know';
  const holds = `holds ${megabytes(heldBytes ?? 0)} of the primary's WAL${isActive ? '' : ', and nobody reads it'}`;
  if ((condition === 'large' || condition === 'excessive') && (owedBytes ?? 0) < (heldBytes ?? 0) / 2)
    return `The slot of ${whose} ${holds}, though the replica has most of it: the primary lets go of that within a minute, or when a transaction that is open there ends (readback doctor names it).`;
  switch (condition) {
    case 'well':
      return null;
    case 'large':
      return `The slot of ${whose} ${holds}: find out why the replica does not apply (readback doctor).`;
    case 'excessive':
      return `The slot of ${whose} ${holds}: get the replica to apply now, or give it up with readback replica drop, before the primary's disk is full.`;
    case 'lost':
      return `The slot of ${whose} is lost (${invalidationReason ?? 'max_slot_wal_keep_size'}): run readback doctor --fix, which copies the replica again.`;
  }
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1_048_576).toLocaleString('en')} MB`;

export interface SlotWatchOptions extends SlotLimits {
  /** The primary's slots of ours now. */
  look: () => Promise<Slot[]>;
  /** Gives up one whose replica owes more; what it held, or null where there was nothing to give up. */
  giveUp: (name: string, moreThanBytes: number) => Promise<number | null>;
  replicas: readonly Replica[];
  /** drop: one whose replica owes more than `maxBytes` is given up, so that the primary lives. */
  action: 'warn' | 'drop';
  everyMs: number;
  log: Logger;
  complain: Complain;
}

const NO_SLOTS = 'The slots of the primary cannot be looked at: nobody is warned before one fills its disk.';

/**
 * Watches the slots by which the primary keeps WAL for its replicas. Several servers may: each tells its own log, and
 * giving one up twice is the same as once.
 */
export class SlotWatch {
  readonly #options: SlotWatchOptions;
  /** Replicas by the slot that each named last, be it up or down now. */
  readonly #owners = new Map<string, string>();
  readonly #told = new Map<string, string>();
  #slots: readonly SlotView[] = [];
  #lookedAt = -Infinity;
  #reason: string | null = null;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: SlotWatchOptions) {
    this.#options = options;
  }

  /** Why they could not be looked at the last time; null where they could. */
  get reason(): string | null {
    return this.#reason;
  }

  of(replica: string): SlotView | undefined {
    return this.#slots.find((slot) => slot.replica === replica);
  }

  isLost(name: string): boolean {
    return this.#slots.some((slot) => slot.name === name && slot.condition === 'lost');
  }

  /** To be called in each round of the monitor. A replica that gets nothing has its slot looked at at once. */
  round(): void {
    const isDue = this.#reason !== null || performance.now() - this.#lookedAt >= this.#options.everyMs;
    if (isDue || this.#options.replicas.some(({ view }) => SUSPECT.has(view.state))) this.#looking = this.look();
  }

  /** Returns when what is under way has ended. */
  async stop(): Promise<void> {
    await this.#looking;
  }

  /** Never fails: with the primary away, what was seen last stays. */
  readonly look = shared(async (): Promise<void> => {
    this.#lookedAt = performance.now();
    try {
      await this.#lookAndAct();
      this.#reason = null;
    } catch (error) {
      this.#options.complain(error, NO_SLOTS);
      // One that is away is told as that.
      this.#reason = isUnavailable(error) ? null : wordsOf(error);
    }
  });

  async #lookAndAct(): Promise<void> {
    this.#noteOwners();
    this.#slots = viewOf(await this.#options.look(), this.#owners, this.#options);
    for (const slot of this.#slots) this.#tell(slot);
    if (this.#options.action === 'warn') return;
    const excessive = this.#slots.filter(({ owedBytes }) => (owedBytes ?? 0) > this.#options.maxBytes);
    for (const slot of excessive) await this.#giveUp(slot);
  }

  #noteOwners(): void {
    for (const { name, view } of this.#options.replicas) {
      if (view.state === 'down') continue;
      for (const [slot, owner] of this.#owners) if (owner === name && slot !== view.slot) this.#owners.delete(slot);
      if (view.slot !== null) this.#owners.set(view.slot, name);
    }
  }

  /** Once each time that it gets worse or better, and each time that what it holds has doubled. */
  #tell(slot: SlotView): void {
    const gravity = gravityOf(slot, this.#options);
    const before = this.#told.get(slot.name);
    this.#told.set(slot.name, gravity);
    if (before === gravity || (before === undefined && slot.condition === 'well')) return;
    const { name, replica, heldBytes, condition } = slot;
    this.#options.log[LEVELS[condition]](
      { slot: name, replica, heldBytes, condition },
      adviceOf(slot) ?? 'The slot holds little again.',
    );
  }

  async #giveUp({ name, replica }: SlotView): Promise<void> {
    const { giveUp, maxBytes, log } = this.#options;
    try {
      const heldBytes = await giveUp(name, maxBytes);
      if (heldBytes === null) return;
      log.error(
        { slot: name, replica, heldBytes, maxBytes },
        'Gave up the slot, as its replica owed more than SLOT_WAL_MAX_BYTES and SLOT_ACTION is drop: run readback doctor --fix, which copies the replica again.',
      );
    } catch (error) {
      log.error({ err: error, slot: name, replica }, 'The slot cannot be given up: run readback replica drop.');
    }
  }
}

/** States that a slot may be the reason of. */
const SUSPECT: ReadonlySet<string> = new Set(['reachable', 'lost']);
