import { expect, test } from 'vitest';
import { mapAsync, untilGone } from './iterables.ts';

/** Yields once, then waits for good. */
const once = (ended: () => void) =>
  untilGone(async function* (gone) {
    yield 1;
    await new Promise<void>((resolve) => gone.addEventListener('abort', () => resolve()));
    ended();
  });

test('a consumer that goes while the source waits ends the source at once, through a map too', async () => {
  const ends: string[] = [];
  const plain = once(() => ends.push('plain'));
  const mapped = mapAsync(
    once(() => ends.push('mapped')),
    async (value) => value + 1,
    () => ends.push('its end'),
  );
  expect([(await plain.next()).value, (await mapped.next()).value]).toEqual([1, 2]);
  const waiting = [plain.next(), mapped.next()];
  await Promise.all([plain.return(), mapped.return()]);
  expect(await Promise.all(waiting)).toEqual([
    { done: true, value: undefined },
    { done: true, value: undefined },
  ]);
  expect(ends.toSorted()).toEqual(['its end', 'its end', 'mapped', 'plain']);
});

test('a mapped source ends and fails with its source', async () => {
  const ends: string[] = [];
  const failing = mapAsync(
    (async function* () {
      yield 1;
      throw new Error('broken');
    })(),
    async (value) => value,
    () => ends.push('failed'),
  );
  expect(await failing.next()).toEqual({ done: false, value: 1 });
  await expect(failing.next()).rejects.toThrow('broken');
  expect(await failing.next()).toEqual({ done: true, value: undefined });
  expect(ends).toEqual(['failed']);
});

test('a mapped source that nobody has read from ends, too', async () => {
  const ends: string[] = [];
  const source = once(() => ends.push('source'));
  const unread = mapAsync(
    source,
    async (value) => value,
    () => ends.push('mapped'),
  );
  await unread.return();
  expect(ends).toEqual(['mapped']);
  expect(await source.next()).toEqual({ done: true, value: undefined });
});
