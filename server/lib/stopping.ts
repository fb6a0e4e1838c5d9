import { setTimeout as sleep } from 'node:timers/promises';

/** Whether the server was told to stop, and how long it may take over each part of that. */
export class Stopping {
  readonly #drainMs: number;
  /** From the end of the drain on, running requests may take so long; then they are cut off. */
  readonly finishMs: number;
  #hasBegun = false;

  constructor(graceMs: number, drainMs: number) {
    this.#drainMs = drainMs;
    // The rest is for closing what requests use.
    this.finishMs = (graceMs - drainMs) * FINISH_SHARE;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Resolves when whoever balances the load has had its time to notice. */
  async begin(): Promise<void> {
    this.#hasBegun = true;
    if (this.#drainMs > 0) await sleep(this.#drainMs);
  }
}

const FINISH_SHARE = 0.7;
