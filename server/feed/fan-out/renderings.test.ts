import { expect, test } from 'vitest';
import type { FeedChange } from '../recent.ts';
import { BYTES_MAX, Renderings } from './renderings.ts';

const changesOf = (count: number) => Array.from({ length: count }, () => ({}) as FeedChange);

test('what a group keeps of its events is bounded by their bytes, and the latest stay', async () => {
  const renderings = new Renderings();
  const changes = changesOf(100);
  const payload = Promise.resolve('x'.repeat(BYTES_MAX / 8));
  for (const change of changes)
    for (const audience of ['', 'owner']) renderings.keep(change, audience, { payload, asking: undefined });
  await payload;
  await new Promise(setImmediate);
  expect(changes.map((change) => renderings.get(change, '') !== undefined)).toEqual(
    changes.map((_, index) => index >= 96),
  );
});

test('one that is longer than all that is kept, and one that could not be made, spoil nothing', async () => {
  const renderings = new Renderings();
  const [long, failed, short] = changesOf(3) as [FeedChange, FeedChange, FeedChange];
  renderings.keep(long, '', { payload: Promise.resolve('x'.repeat(2 * BYTES_MAX)), asking: undefined });
  renderings.keep(failed, '', { payload: Promise.reject(new Error('no answer')), asking: undefined });
  await new Promise(setImmediate);
  expect(renderings.get(long, '')).toBeUndefined();
  const made = { payload: Promise.resolve('x'), asking: undefined };
  renderings.keep(short, '', made);
  await new Promise(setImmediate);
  expect(renderings.get(short, '')).toBe(made);
});
