import type { Payers } from '../../lib/budget.ts';
import type { FeedChange } from '../recent.ts';
import { Wake } from '../wake.ts';

/** An event as one audience gets it. */
export interface Rendered {
  payload: Promise<string>;
  /** While it is not made yet. */
  asking: Asking | undefined;
}

/** What is kept of one change: by audience, and of all of them those bytes that are made. */
interface Kept {
  by: Map<string, Rendered>;
  bytes: number;
}

const CHANGES_MAX = 500;
/** One address may have 1,000 groups of its own. */
export const BYTES_MAX = 262_144;

/** The latest changes as a group has rendered them, for those who are a little behind. */
export class Renderings {
  /** The oldest first. */
  readonly #changes = new Map<FeedChange, Kept>();
  #bytes = 0;

  get(change: FeedChange, audience: string): Rendered | undefined {
    return this.#changes.get(change)?.by.get(audience);
  }

  keep(change: FeedChange, audience: string, made: Rendered): void {
    const kept = this.#changes.get(change) ?? { by: new Map<string, Rendered>(), bytes: 0 };
    kept.by.set(audience, made);
    this.#changes.set(change, kept);
    if (this.#changes.size > CHANGES_MAX) this.#forgetOldest();
    // Whoever asked for it hears of a failure.
    void made.payload.then(
      ({ length }) => this.#weigh(change, kept, length),
      () => {},
    );
  }

  /** It may have been forgotten before it was made. */
  #weigh(change: FeedChange, kept: Kept, bytes: number): void {
    if (this.#changes.get(change) !== kept) return;
    kept.bytes += bytes;
    this.#bytes += bytes;
    while (this.#bytes > BYTES_MAX) this.#forgetOldest();
  }

  #forgetOldest(): void {
    const [change, { bytes }] = this.#changes.entries().next().value!;
    this.#changes.delete(change);
    this.#bytes -= bytes;
  }
}

/** The spenders of some who ask for an event. */
export type Some = () => Iterable<string>;

/**
 * Those for whom one event is rendered, in the order in which they asked: who reads again what the others have had long
 * ago pays for that alone.
 */
export class Asking implements Payers {
  readonly #some: Some[];
  readonly #more = new Wake();

  constructor(first: Some) {
    this.#some = [first];
  }

  add(some: Some): void {
    this.#some.push(some);
    this.#more.ring();
  }

  *now(): Iterable<string> {
    for (const some of this.#some) yield* some();
  }

  more(): Promise<void> {
    return this.#more.next();
  }
}
