/** Each value of the source through `map`; ends, and fails, with the source, and ends the source when it is ended. */
export async function* mapAsync<A, B>(
  source: AsyncIterable<A>,
  map: (value: A) => Promise<B>,
): AsyncGenerator<B, void> {
  for await (const value of source) yield await map(value);
}
