import type { ClientError } from '../../lib/errors.ts';
import type { Feed } from '../feed.ts';
import type { FeedStream } from '../stream.ts';
import { Ending } from './ending.ts';
import { Group, type Rendering } from './group.ts';
import type { OutletOptions } from './outlet.ts';
import { Subscriber, type Channel } from './subscriber.ts';

/** And who is to pay for it. */
interface Rendered extends Rendering {
  spender: string;
}

export interface FanOutOptions extends Omit<OutletOptions, 'gaveUp'> {
  feed: Feed;
}

/**
 * Sends the feed's events to websockets. Subscriptions with the same key (operation, variables and rights) are a group:
 * each event is executed and serialized once for all of them.
 */
export class FanOut {
  readonly #options: FanOutOptions & OutletOptions;
  readonly #groups = new Map<string, Group>();
  readonly #subscribers = new Set<Subscriber>();
  #slowClients = 0;

  constructor(options: FanOutOptions) {
    this.#options = { ...options, gaveUp: () => this.#slowClients++ };
  }

  /** Live subscriptions to changes. */
  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** Sockets that were closed because they stayed full. */
  get slowClients(): number {
    return this.#slowClients;
  }

  /** Kinds of subscriptions, each event of which is rendered once. */
  get groups(): number {
    return this.#groups.size;
  }

  /** Starts at once. The result ends with the subscription, and ends it when it is returned; then `ended` is called. */
  open(key: string, stream: FeedStream, channel: Channel, ended: () => void, rendering: Rendered): Ending {
    const { own } = stream.request.sight;
    const { spender } = rendering;
    const known = this.#groups.get(key);
    const group = known && !known.hasFailed ? known : this.#newGroup(key, stream, rendering);
    const ending = new Ending(() => subscriber.close());
    const over = (error: unknown) => {
      this.#leave(subscriber);
      ended();
      if (error === undefined) ending.end();
      else ending.fail(error);
    };
    const subscriber = new Subscriber(group, { own, spender }, channel, this.#options, over);
    this.#subscribers.add(subscriber);
    subscriber.begin(stream.request);
    return ending;
  }

  /** Ends all subscriptions to the table's changes. */
  refuse(table: string, refusal: ClientError): void {
    for (const group of this.#groups.values()) if (group.isOf(table)) group.fail(refusal);
  }

  #leave(subscriber: Subscriber): void {
    const { group } = subscriber;
    this.#subscribers.delete(subscriber);
    if (group.leave(subscriber) && this.#groups.get(group.key) === group) this.#groups.delete(group.key);
  }

  #newGroup(key: string, stream: FeedStream, rendering: Rendering): Group {
    const group = new Group(key, this.#options.feed, stream, rendering);
    this.#groups.set(key, group);
    return group;
  }
}
