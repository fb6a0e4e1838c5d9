import { setImmediate } from 'node:timers/promises';

/** Stands in for the websocket client in tests: one subscription at a time, and a connection that can be dropped. */
export class FakeServer {
  readonly asked: Record<string, unknown>[] = [];
  #settle: PromiseWithResolvers<IteratorResult<unknown>> = Promise.withResolvers();

  iterate = ({ variables }: { variables?: Record<string, unknown> | null }): never => {
    this.asked.push({ ...variables });
    this.#settle = Promise.withResolvers();
    const end = async () => {
      this.#settle.resolve({ done: true, value: undefined });
      return { done: true as const, value: undefined };
    };
    const iterator = { next: () => this.#settle.promise, return: end, [Symbol.asyncIterator]: () => iterator };
    return iterator as never;
  };

  async send(data: unknown): Promise<void> {
    const { resolve } = this.#settle;
    this.#settle = Promise.withResolvers();
    resolve({ done: false, value: { data } });
    await this.settle();
  }

  async drop(): Promise<void> {
    this.#settle.reject(new Error('closed'));
    await this.settle();
  }

  async refuse(code: string, message: string): Promise<void> {
    // The client of graphql-ws fails with the errors themselves, a list.
    this.#settle.reject([{ message, extensions: { code } }] as never);
    await this.settle();
  }

  /** Until everything that was going on has gone on. */
  async settle(): Promise<void> {
    for (let round = 0; round < 5; round++) await setImmediate();
  }
}
