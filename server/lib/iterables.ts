/**
 * Each value of the source through `map`; ends, and fails, with the source, and ends the source as soon as it is ended.
 * `ended` is called when that has happened, once or twice.
 */
export function mapAsync<A, B>(
  source: AsyncIterable<A>,
  map: (value: A) => Promise<B>,
  ended: () => void,
): AsyncGenerator<B, void> {
  const values = source[Symbol.asyncIterator]();
  const mapped = (async function* () {
    try {
      for await (const value of { [Symbol.asyncIterator]: () => values }) yield await map(value);
    } finally {
      ended();
    }
  })();
  return endingWith(mapped, () => {
    // What it fails with comes out of `next`, too.
    void values.return?.()?.catch(() => undefined);
    ended(); // one that nobody has read from yet does not come to its end
  });
}

/**
 * A generator that may wait long between two values: once its consumer goes, the signal is aborted, and it ends. A
 * generator alone hears of that with its next value only.
 */
export function untilGone<T>(make: (signal: AbortSignal) => AsyncGenerator<T, void>): AsyncGenerator<T, void> {
  const gone = new AbortController();
  return endingWith(make(gone.signal), () => gone.abort());
}

function endingWith<T>(values: AsyncGenerator<T, void>, end: () => void): AsyncGenerator<T, void> {
  return {
    next: () => values.next(),
    return: () => {
      end();
      return values.return();
    },
    throw: (error) => {
      end();
      return values.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    async [Symbol.asyncDispose]() {
      await this.return();
    },
  };
}
