import type { Feed } from '../../feed/feed.ts';
import type { FeedStream } from '../../feed/stream.ts';
import { Group, type Render } from './group.ts';
import type { OutletOptions } from './outlet.ts';
import { Subscriber, type Channel } from './subscriber.ts';

export interface FanOutOptions extends Omit<OutletOptions, 'gaveUp'> {
  feed: Feed;
}

/**
 * Sends the feed's events to websockets. Subscriptions with the same key (operation, variables and rights) are a group:
 * each event is executed and serialized once for all of them.
 */
export class FanOut {
  readonly #options: FanOutOptions;
  readonly #groups = new Map<string, Group>();
  readonly #subscribers = new Set<Subscriber>();
  #slowClients = 0;

  constructor(options: FanOutOptions) {
    this.#options = options;
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** Sockets that were closed because they stayed full. */
  get slowClients(): number {
    return this.#slowClients;
  }

  get groups(): number {
    return this.#groups.size;
  }

  /** Starts at once. The result ends with the subscription, and ends it when it is returned. */
  open(key: string, stream: FeedStream, channel: Channel, render: Render): AsyncGenerator<never, void> {
    const group = this.#groups.get(key) ?? this.#newGroup(key, stream, render);
    const subscriber = new Subscriber(group, stream, channel, { ...this.#options, gaveUp: () => this.#slowClients++ });
    this.#subscribers.add(subscriber);
    const ended = subscriber.run().finally(() => {
      this.#subscribers.delete(subscriber);
      if (group.leave(subscriber)) this.#groups.delete(key);
    });
    return sourceOf(ended, () => subscriber.close());
  }

  #newGroup(key: string, stream: FeedStream, render: Render): Group {
    const group = new Group(this.#options.feed, stream, render);
    this.#groups.set(key, group);
    return group;
  }
}

/** Events go to the socket directly: nothing comes out here but the end, or the failure. */
function sourceOf(ended: Promise<void>, close: () => void): AsyncGenerator<never, void> {
  const end = async (): Promise<IteratorReturnResult<void>> => {
    await ended;
    return { done: true, value: undefined };
  };
  return {
    next: end,
    return: () => {
      close();
      return end().catch(() => ({ done: true, value: undefined }) as const);
    },
    throw: (error) => {
      close();
      return Promise.reject(error as Error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    async [Symbol.asyncDispose]() {
      close();
      await ended.catch(() => undefined);
    },
  };
}
