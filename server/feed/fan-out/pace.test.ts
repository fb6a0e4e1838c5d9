import { expect, test } from 'vitest';
import { Pace } from './pace.ts';

const FIRST = 8192;

test('what was sent and not read stays within a window, which doubles with each answer', async () => {
  const { pace, answer } = paced(4 * FIRST);
  expect(pace.room).toBe(FIRST);
  pace.sent(FIRST / 2);
  pace.sent(FIRST / 2);
  expect(pace.room).toBe(0);
  const more = pace.more();
  await answer();
  await more;
  // Half of it was read, and twice as much may be under way.
  expect(pace.room).toBe(2 * FIRST - FIRST / 2);
  await answer();
  expect(pace.room).toBe(4 * FIRST);
  pace.sent(4 * FIRST);
  await answer();
  expect(pace.room).toBe(4 * FIRST);
});

test('a window that was halved below what is under way opens again when that was read', async () => {
  const { pace, answer, asked } = paced(8 * FIRST);
  for (let n = 0; n < 3; n++) {
    pace.sent(pace.room);
    await answer();
  }
  pace.sent(4 * FIRST);
  pace.sent(3 * FIRST);
  pace.sent(FIRST);
  const more = pace.more();
  await answer(1500);
  expect(pace.room).toBe(0);
  expect(asked()).toBe(1);
  await answer(3000);
  await more;
  expect(pace.room).toBe(2 * FIRST);
});

test('one message that is larger than the window is waited for, and nothing else', async () => {
  const { pace, answer } = paced(FIRST);
  pace.sent(10 * FIRST);
  const more = pace.more();
  await answer();
  await more;
  expect(pace.room).toBe(FIRST);
});

function paced(most: number) {
  let now = 0;
  const questions: (() => void)[] = [];
  const reader = { read: () => new Promise<void>((resolve) => questions.push(resolve)) };
  return {
    pace: new Pace(reader, most, () => now),
    asked: () => questions.length,
    /** Of the oldest question, after so long. */
    answer: async (ms = 1) => {
      now += ms;
      questions.shift()!();
      await Promise.resolve().then(() => undefined);
    },
  };
}
