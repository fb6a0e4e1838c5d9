import type { Logger } from '../lib/logger.ts';
import { shared } from '../lib/shared.ts';
import type { SlotRow } from '../database/sql/slots.ts';
import type { Replica } from './replica.ts';
import { adviceOf, gravityOf, viewOf, type SlotCondition, type SlotLimits, type SlotView } from './slot-condition.ts';

export interface SlotWatchOptions extends SlotLimits {
  /** The primary's slots of ours now. */
  look: () => Promise<SlotRow[]>;
  /** Gives up one whose replica owes more; what it held, or null where there was nothing to give up. */
  giveUp: (name: string, moreThanBytes: number) => Promise<number | null>;
  replicas: readonly Replica[];
  /** drop: one whose replica owes more than `maxBytes` is given up, so that the primary lives. */
  action: 'warn' | 'drop';
  everyMs: number;
  log: Logger;
}

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
  #isBlind = false;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: SlotWatchOptions) {
    this.#options = options;
  }

  /** As they were when last looked at. */
  view(): readonly SlotView[] {
    return this.#slots;
  }

  of(replica: string): SlotView | undefined {
    return this.#slots.find((slot) => slot.replica === replica);
  }

  isLost(name: string): boolean {
    return this.#slots.some((slot) => slot.name === name && slot.condition === 'lost');
  }

  /** To be called in each round of the monitor. A replica that gets nothing has its slot looked at at once. */
  round(): void {
    const isDue = performance.now() - this.#lookedAt >= this.#options.everyMs;
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
      this.#isBlind = false;
    } catch (error) {
      if (!this.#isBlind) this.#options.log.warn({ err: error }, 'The slots of the primary cannot be looked at.');
      this.#isBlind = true;
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

const LEVELS = { well: 'info', large: 'warn', excessive: 'error', lost: 'error' } as const satisfies Record<
  SlotCondition,
  string
>;
