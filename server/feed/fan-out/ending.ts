const DONE = { done: true, value: undefined } as const;

/** What a conversation reads of a feed subscription. Events go to the socket directly: only the end comes out, or a failure. */
export class Ending implements AsyncGenerator<never, void> {
  readonly #close: () => void;
  readonly #ended = Promise.withResolvers<IteratorReturnResult<void>>();

  constructor(close: () => void) {
    this.#close = close;
  }

  end(): void {
    this.#ended.resolve(DONE);
  }

  fail(error: unknown): void {
    this.#ended.reject(error);
  }

  next(): Promise<IteratorReturnResult<void>> {
    return this.#ended.promise;
  }

  return(): Promise<IteratorReturnResult<void>> {
    this.#close();
    return this.#ended.promise.catch(() => DONE); // `next` fails with it
  }

  async throw(error: unknown): Promise<IteratorReturnResult<void>> {
    this.#close();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
