import DataLoader from 'dataloader';
import { expect, test } from 'vitest';
import type { Primary } from '../replication/primary.ts';
import { inSlices, Reads } from './reads.ts';
import type { Place, Router } from './router.ts';

/** Chooses one server after the other, and tells where it reads. */
function servers(...names: string[]) {
  const inUse = new Set<string>();
  const atLeast = async (): Promise<Place> => {
    const name = names.shift()!;
    inUse.add(name);
    return { name, sql: undefined!, waitedMs: 0, failed: () => {}, release: () => void inUse.delete(name) };
  };
  const reads = new Reads(
    { router: { atLeast } as unknown as Router, primary: {} as Primary },
    'session',
    null,
    undefined,
  );
  return { reads, inUse };
}

const broken = (place: Place) => Promise.reject(Object.assign(new Error(place.name), { code: 'ECONNRESET' }));

test('a server that breaks under a read is left for the next, and released', async () => {
  const { reads, inUse } = servers('replica-1', 'primary', 'replica-2');
  const read = reads.read(async (place) =>
    place.name === 'replica-2' ? { seen: 7n, from: place.name } : broken(place),
  );
  expect(await read).toEqual({ seen: 7n, from: 'replica-2' });
  expect([...inUse]).toEqual(['replica-2']);
  reads.release();
  expect([...inUse]).toEqual([]);
});

test('a statement that breaks every server is tried on three, and told of', async () => {
  const { reads } = servers('replica-1', 'replica-2', 'primary', 'replica-3');
  await expect(reads.read(broken)).rejects.toMatchObject({ code: 'PRIMARY_UNAVAILABLE' });
});

test('what is chosen after the operation has ended, for a field that nobody waits for, is released at once', async () => {
  const { reads, inUse } = servers('replica-1');
  reads.release();
  await reads.read(async () => ({ seen: 1n }));
  expect([...inUse]).toEqual([]);
});

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
