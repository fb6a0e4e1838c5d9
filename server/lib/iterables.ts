/** Each value of the source through `map`; ends, and fails, with the source, and ends the source as soon as it is ended. */
export function mapAsync<A, B>(source: AsyncIterable<A>, map: (value: A) => Promise<B>): AsyncGenerator<B, void> {
  const values = source[Symbol.asyncIterator]();
  const mapped = (async function* () {
    for await (const value of { [Symbol.asyncIterator]: () => values }) yield await map(value);
  })();
  // What it fails with comes out of `next`, too.
  return endingWith(mapped, () => void values.return?.()?.catch(() => undefined));
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

/** The source itself, that calls `ended` once when it ends, fails or is ended. */
export function whenEnded<A>(source: AsyncGenerator<A, void>, ended: () => void): AsyncGenerator<A, void> {
  const noted = async (result: Promise<IteratorResult<A, void>>) => {
    try {
      const next = await result;
      if (next.done) ended();
      return next;
    } catch (error) {
      ended();
      throw error;
    }
  };
  return {
    next: () => noted(source.next()),
    return: (value) => noted(source.return(value)),
    throw: (error) => noted(source.throw(error)),
    [Symbol.asyncIterator]() {
      return this;
    },
    async [Symbol.asyncDispose]() {
      await source.return();
      ended();
    },
  };
}
