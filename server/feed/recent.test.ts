import { expect, test } from 'vitest';
import { CHARACTERS_MAX, RecentChanges, type FeedChange } from './recent.ts';

const changes = (from: number, count: number, size: number) =>
  Array.from(
    { length: count },
    (_, index) => ({ position: { lsn: BigInt(from + index), place: 1 }, size }) as FeedChange,
  );
const lsnAfter = (recent: RecentChanges, lsn: number) => {
  const found = recent.after({ lsn: BigInt(lsn), place: 1 });
  return typeof found === 'object' ? Number(found.position.lsn) : found;
};

test('the window holds so many changes, and no more than so many characters of them', () => {
  const recent = new RecentChanges(1000);
  recent.push(changes(1, 100, CHARACTERS_MAX / 10));
  expect([lsnAfter(recent, 89), lsnAfter(recent, 90), lsnAfter(recent, 100)]).toEqual(['gone', 91, undefined]);
  recent.push(changes(101, 5, CHARACTERS_MAX / 10));
  expect(lsnAfter(recent, 90)).toBe(91);
  recent.push(changes(106, 6, CHARACTERS_MAX / 10));
  expect([lsnAfter(recent, 100), lsnAfter(recent, 101)]).toEqual(['gone', 102]);
  recent.push(changes(112, 3000, 10));
  expect([lsnAfter(recent, 2110), lsnAfter(recent, 2111)]).toEqual(['gone', 2112]);
});

test('a change that is longer than that is there all the same, while it is the last one', () => {
  const recent = new RecentChanges(1000);
  recent.push(changes(1, 2, 3 * CHARACTERS_MAX));
  expect([lsnAfter(recent, 0), lsnAfter(recent, 1)]).toEqual(['gone', 2]);
});
