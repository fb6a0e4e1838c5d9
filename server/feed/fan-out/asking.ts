import type { Payers } from '../../lib/budget.ts';
import { Wake } from '../wake.ts';

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
