/** Lets many wait for the next call of `ring`. */
export class Wake {
  #next = Promise.withResolvers<void>();

  ring(): void {
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers<void>();
    resolve();
  }

  /** Resolves at the first ring after this call. */
  next(): Promise<void> {
    return this.#next.promise;
  }
}
