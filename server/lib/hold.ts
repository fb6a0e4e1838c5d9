import { setTimeout as sleep } from 'node:timers/promises';

const HOLD_MS = 1000;
/** So that memory is bounded, too: no more of them wait. */
const MOST_HELD = 10_000;

/**
 * Makes those wait who are refused. A hundred connections that are answered at once ask again at once, and are always a
 * hundred ahead of everybody else in the event loop. Answered after a second, they are a hundred a second.
 */
export class Hold {
  #held = 0;

  async wait(): Promise<void> {
    if (this.#held >= MOST_HELD) return;
    this.#held++;
    await sleep(HOLD_MS, undefined, { ref: false });
    this.#held--;
  }
}
