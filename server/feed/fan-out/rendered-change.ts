import type { Payers } from '../../lib/budget.ts';
import type { FeedPlace } from '../cursor.ts';
import type { FeedChange } from '../recent.ts';
import type { FeedEvent, FeedStream } from '../stream.ts';
import { Wake } from '../wake.ts';

/** A change, and the ends of the messages that tell each audience of it. */
export class RenderedChange {
  readonly event: FeedEvent & { kind: 'change' };
  readonly place: FeedPlace;
  /** Audiences other than ''. */
  readonly owners: readonly string[];
  /** Null: it is not for them. */
  readonly #tails = new Map<string, Buffer | null>();

  constructor(change: FeedChange, stream: FeedStream) {
    this.event = { kind: 'change', change };
    this.place = { ...change.position, logId: change.logId };
    this.owners = stream.ownersIn(this.event);
  }

  has(audience: string): boolean {
    return this.#tails.has(audience);
  }

  set(audience: string, tail: Buffer | null): void {
    this.#tails.set(audience, tail);
  }

  tailFor(own: string): Buffer | null | undefined {
    return this.#tails.get(this.audienceOf(own));
  }

  audienceOf(own: string): string {
    return this.owners.includes(own) ? own : '';
  }
}

type Some = () => Iterable<string>;

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
