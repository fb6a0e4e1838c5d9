import DataLoader from 'dataloader';
import { expect, test } from 'vitest';
import { inSlices } from './loaders.ts';

test('of many rows the later ones come in later turns, in their order, and few at once', async () => {
  const pages = Array.from({ length: 30 }, (_, n) => Array.from({ length: 50 }, () => n));
  const loader = new DataLoader<number, number[]>(async (keys) => inSlices(keys.map((key) => pages[key]!)));
  let turns = 0;
  const count = () => setImmediate(() => ++turns < 100 && count());
  count();
  const came: [page: number, turn: number][] = [];
  await Promise.all(pages.map(async (_, n) => came.push([(await loader.load(n))[0]!, turns])));
  expect(came.map(([page]) => page)).toEqual(pages.map((_, n) => n));
  const inTurns = Map.groupBy(came, ([, at]) => at);
  expect(inTurns.size).toBe(15);
  for (const together of inTurns.values()) expect(together.length).toBeLessThanOrEqual(2);
});

test('few rows, and one page however long, come at once', () => {
  const few = [[1, 2], [3]];
  expect(inSlices(few)).toEqual(few);
  const [long] = inSlices([Array.from({ length: 1000 }, () => 1)]);
  expect(long).toHaveLength(1000);
});
