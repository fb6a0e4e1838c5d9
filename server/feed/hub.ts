import type { Lsn } from '../lib/lsn.ts';
import { ClientError } from '../lib/errors.ts';
import type { ChangeRow } from '../store/change-log.ts';

/** A change as it was read back from the replica, with a position at or after it. */
export interface FeedChange extends ChangeRow {
  seen: Lsn;
}

type Filter = (change: FeedChange) => boolean;

/** Hands each change to the subscribers that want it, each with a bounded queue of its own. */
export class Hub {
  readonly #subscribers = new Set<Subscriber>();
  readonly #mostQueued: number;

  constructor(mostQueued: number) {
    this.#mostQueued = mostQueued;
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  publish(change: FeedChange): void {
    for (const subscriber of this.#subscribers) subscriber.offer(change);
  }

  /** Starts with the first change published after this call. Ends, and releases all, when its consumer returns. */
  subscribe(wants: Filter): AsyncIterableIterator<FeedChange> {
    const subscriber = new Subscriber(wants, this.#mostQueued);
    this.#subscribers.add(subscriber);
    return subscriber.iterate(() => this.#subscribers.delete(subscriber));
  }

  close(): void {
    for (const subscriber of this.#subscribers) subscriber.end();
  }
}

class Subscriber {
  readonly #wants: Filter;
  readonly #mostQueued: number;
  #queue: FeedChange[] = [];
  #wake: (() => void) | undefined;
  #state: 'open' | 'overrun' | 'ended' = 'open';

  constructor(wants: Filter, mostQueued: number) {
    this.#wants = wants;
    this.#mostQueued = mostQueued;
  }

  offer(change: FeedChange): void {
    if (this.#state !== 'open' || !this.#wants(change)) return;
    if (this.#queue.length >= this.#mostQueued) this.#state = 'overrun';
    else this.#queue.push(change);
    this.#wake?.();
  }

  end(): void {
    this.#state = 'ended';
    this.#wake?.();
  }

  iterate(released: () => void): AsyncIterableIterator<FeedChange> {
    const end = () => {
      this.end();
      this.#queue = [];
      released();
      return Promise.resolve({ done: true as const, value: undefined });
    };
    return {
      next: () => this.#next(end),
      return: end,
      throw: end,
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async #next(end: () => Promise<IteratorResult<FeedChange>>): Promise<IteratorResult<FeedChange>> {
    while (this.#queue.length === 0 && this.#state === 'open')
      await new Promise<void>((resolve) => (this.#wake = resolve));
    const value = this.#queue.shift();
    if (value) return { done: false, value };
    const overrun = this.#state === 'overrun';
    await end();
    if (overrun)
      throw new ClientError(
        'RATE_LIMITED',
        `More than ${this.#mostQueued} changes waited for this subscriber: read faster, and subscribe again.`,
      );
    return { done: true, value: undefined };
  }
}
