import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ClientError } from './errors.ts';
import { Turns } from './turns.ts';

const refused = () => new ClientError('RATE_LIMITED', 'full');

/** Work that ends when it is told to, and in what order it began. */
function working(options: Partial<ConstructorParameters<typeof Turns>[0]>) {
  const turns = new Turns({ most: Infinity, mostOfOne: Infinity, mostWaiting: Infinity, refused, ...options });
  const began: string[] = [];
  const ends: (() => void)[] = [];
  const start = (spender: string, signal?: AbortSignal) =>
    turns.run(spender, signal, () => {
      began.push(spender);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const end = async () => {
    ends.shift()!();
    await turn();
  };
  return { turns, began, start, end };
}

test('whoever has much waiting has one turn, and then others have theirs', async () => {
  const { turns, began, start, end } = working({ most: 1 });
  const all = ['a', 'a', 'a', 'a', 'b', 'b', 'c'].map((spender) => start(spender));
  await turn();
  expect([turns.running, turns.waiting]).toEqual([1, 6]);
  for (let n = 0; n < 7; n++) await end();
  await Promise.all(all);
  expect(began.join('')).toBe('aabcaba');
  expect([turns.running, turns.waiting]).toEqual([0, 0]);
});

test('one has no more than its share, also while nobody else is there', async () => {
  const { began, start, end } = working({ most: 3, mostOfOne: 2 });
  const all = ['a', 'a', 'a', 'b', 'b'].map((spender) => start(spender));
  await turn();
  expect(began.join('')).toBe('aab');
  for (let n = 0; n < 5; n++) await end();
  await Promise.all(all);
  expect(began.join('')).toBe('aabab');
});

test('where the line is full, its place is taken from whoever has most in it', async () => {
  const { began, start, end, turns } = working({ most: 1, mostWaiting: 3 });
  const running = start('a');
  const [first, second, third] = ['a', 'a', 'a'].map((spender) => start(spender));
  await expect(start('a')).rejects.toThrow('full');
  const other = start('b');
  await expect(third).rejects.toThrow('full');
  await expect(start('a')).rejects.toThrow('full');
  for (let n = 0; n < 4; n++) await end();
  await Promise.all([running, first, second, other]);
  expect(began.join('')).toBe('aaba');
  expect(turns.waiting).toBe(0);
});

test('who is not waited for any more does not begin, and makes room', async () => {
  const { began, start, end, turns } = working({ most: 1 });
  const controller = new AbortController();
  const running = start('a');
  const gone = start('a', controller.signal);
  const next = start('b');
  controller.abort(new Error('gone'));
  await expect(gone).rejects.toThrow('gone');
  await expect(start('a', controller.signal)).rejects.toThrow('gone');
  await end();
  await end();
  await Promise.all([running, next]);
  expect(began.join('')).toBe('ab');
  expect([turns.running, turns.waiting]).toEqual([0, 0]);
});
