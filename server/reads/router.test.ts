import { expect, test } from 'vitest';
import { chooseAny, chooseNow, chooseWithoutPrimary, worthWaitingFor } from './router.ts';
import { LagClock } from '../replication/lag.ts';
import type { ReplicaState } from '../replication/state.ts';

const replica = (state: ReplicaState, applied: bigint | null = 100n, inFlight = 0) => ({
  view: { state, applied },
  inFlight,
});

test('the least loaded of those that are well and have the position', () => {
  const [behind, busy, free] = [
    replica('streaming', 50n),
    replica('streaming', 100n, 3),
    replica('streaming', 100n, 2),
  ];
  expect(chooseNow([behind, busy, free], 100n)).toBe(free);
  expect(chooseNow([behind, busy, free], null)).toBe(behind);
  expect(chooseNow([behind], 100n)).toBeUndefined();
});

for (const state of ['down', 'reachable', 'disabled', 'lost', 'copying', 'lagging'] as const) {
  test(`${state} is passed over, and not waited for`, () => {
    expect(chooseNow([replica(state)], null)).toBeUndefined();
    expect(worthWaitingFor([replica(state)])).toEqual([]);
  });
}

test('whoever takes any state gets a well one first, then one that has a whole copy', () => {
  const [down, copying, disabled, well] = [
    replica('down'),
    replica('copying'),
    replica('disabled'),
    replica('streaming', 1n, 9),
  ];
  expect(chooseAny([down, copying, disabled, well])).toBe(well);
  expect(chooseAny([down, copying, disabled])).toBe(disabled);
  expect(chooseAny([down, copying, replica('lost')])).toBeUndefined();
});

test('without the primary, a replica that is not fed will do where it has the position', () => {
  const cut = replica('reachable', 100n);
  expect(chooseWithoutPrimary([replica('down'), cut], 100n)).toBe(cut);
  expect(chooseWithoutPrimary([cut], 101n)).toBeUndefined();
});

test('lag is the time since the primary was first seen past the applied position', () => {
  const clock = new LagClock();
  expect(clock.lagOf(0n, 0)).toBeNull();
  clock.add(1000, 10n);
  clock.add(2000, 20n);
  clock.add(2500, 20n);
  expect(clock.lagOf(20n, 9000)).toBe(0);
  expect(clock.lagOf(15n, 2600)).toBe(600);
  expect(clock.lagOf(5n, 2600)).toBe(1600);
});

test('the lag clock is bounded, and keeps the oldest sample', () => {
  const clock = new LagClock();
  for (let n = 1; n <= 5000; n++) clock.add(n, BigInt(n));
  expect(clock.lagOf(0n, 5001)).toBe(5000);
  expect(clock.latest).toBe(5000n);
});

test('the lag clock covers minutes, at any rate of writes', () => {
  const clock = new LagClock();
  for (let n = 1; n <= 100_000; n++) clock.add(n, BigInt(n));
  for (const lagMs of [10, 500, 5000, 60_000]) {
    const told = clock.lagOf(BigInt(100_000 - lagMs), 100_000);
    expect(told).toBeLessThanOrEqual(lagMs);
    expect(told).toBeGreaterThan(0.9 * lagMs - 2);
  }
});
