import { setImmediate as turn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { Budget } from './budget.ts';

const LIMITED = { requestsPerSecond: 100, costPerSecond: 1000 };
const neverGone = new AbortController().signal;

test('whoever has spent more than there was waits until it is paid back, and nobody else', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const budget = new Budget(LIMITED);
    budget.spend('ada', 2999);
    budget.spend('ada', 5000);
    const again = () => budget.spend('ada', 7);
    expect(again).toThrow(
      'Your operations may read 1000 rows a second, and have asked for more than that by now; this one may read 7: try again in 5 s, or ask for less at a time.',
    );
    expect(again).toThrow(expect.objectContaining({ code: 'RATE_LIMITED' }));
    budget.spend('grace', 5000);
    vi.advanceTimersByTime(4990);
    expect(again).toThrow('try again in 1 s');
    vi.advanceTimersByTime(20);
    again();
  } finally {
    vi.useRealTimers();
  }
});

test('requests are counted each second, and one too many is answered after a while', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const budget = new Budget({ ...LIMITED, requestsPerSecond: 2 });
    const ask = () => budget.count('ada');
    expect([ask(), ask()]).toEqual([undefined, undefined]);
    const refused = ask();
    await expect(Promise.race([refused, turn('it waits')])).resolves.toBe('it waits');
    expect(budget.count('grace')).toBeUndefined();
    vi.advanceTimersByTime(1000);
    expect(ask()).toBeUndefined();
    await expect(refused).rejects.toThrow('You may send 2 requests a second, and this is number 3: try again in 1 s.');
  } finally {
    vi.useRealTimers();
  }
});

test('who sends much is heard after a while, and large bodies are refused until that is paid back', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const budget = new Budget(LIMITED);
    expect(budget.heard('ada', 5_999_800)).toBe(0);
    expect(budget.heard('ada', 999_900)).toBe(500);
    expect(budget.heard('grace', 1)).toBe(0);
    expect([budget.isLarge(10_000), budget.isLarge(10_001)]).toEqual([false, true]);
    const refused = budget.body('ada', 20_000);
    await expect(refused).rejects.toThrow(
      '2000000 bytes a second, and have sent more than that by now: try again in 1 s.',
    );
    vi.advanceTimersByTime(501);
    expect(budget.body('ada', 20_000)).toBeUndefined();
    for (let n = 0; n < 20; n++) budget.heard('ada', 1_000_000);
    expect(budget.heard('ada', 1_000_000)).toBe(6000);
  } finally {
    vi.useRealTimers();
  }
});

test('of large operations one has two under way, and small ones have no need of a turn', async () => {
  const budget = new Budget(LIMITED);
  expect(budget.turn('ada', 1000, neverGone)).toBeUndefined();
  const ends = await Promise.all([1, 2].map(() => budget.turn('ada', 1001, neverGone)!));
  let isThird = false;
  const third = budget.turn('ada', 1001, neverGone)!.then((end) => {
    isThird = true;
    return end;
  });
  (await budget.turn('grace', 1001, neverGone)!)();
  await turn();
  expect(isThird).toBe(false);
  ends[0]!();
  (await third)();
});

test('events of one are executed one at a time, and paid for by whoever wants them and has something left', async () => {
  const budget = new Budget({ ...LIMITED, costPerSecond: 100_000 });
  const began: string[] = [];
  const ends: (() => void)[] = [];
  const event = (...payers: string[]) =>
    budget.event({ now: () => payers, more: () => new Promise(() => {}) }, 300_001, (payer) => {
      began.push(payer);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const all = [event('ada', 'grace'), event('ada', 'grace'), event('ada', 'grace')];
  // Requests are paid for apart: others decide how many events there are.
  budget.spend('ada', 1);
  await expect.poll(() => began).toEqual(['ada', 'grace']);
  for (const end of ends.splice(0)) end();
  // Neither has anything left: one of them when that is paid back, and not for ever.
  await expect.poll(() => began.length, { timeout: 10_000 }).toBe(3);
  ends[0]!();
  await Promise.all(all);
});

test('without limits nobody waits, and nothing is counted', () => {
  const budget = new Budget({ requestsPerSecond: Infinity, costPerSecond: Infinity });
  for (let n = 0; n < 1000; n++) {
    expect(budget.count('ada')).toBeUndefined();
    budget.spend('ada', 50_000);
    expect(budget.turn('ada', 50_000, neverGone)).toBeUndefined();
  }
});
