import { expect, test } from 'vitest';
import { observe, UNKNOWN, type Look, type ReplicaState, type ReplicaView } from './state.ts';

const well: Look = {
  lost: false,
  proven: true,
  slot: 'readback_1',
  enabled: true,
  working: true,
  copying: 0,
  progress: 100n,
  applied: 100n,
};
const MAX_LAG_MS = 1000;
const lagging = () => MAX_LAG_MS + 1;
const current = () => 0;

/** Every combination of what a look can find, and the state it is: the first row that fits decides. */
const rules: [(look: Look, lagMs: number) => boolean, ReplicaState][] = [
  [(look) => look.lost, 'lost'],
  [(look) => !look.enabled, 'disabled'],
  [(look) => look.copying > 0, 'copying'],
  [(look) => !look.working || look.applied === null, 'reachable'],
  [(_, lagMs) => lagMs > MAX_LAG_MS, 'lagging'],
  [() => true, 'streaming'],
];

const previous: ReplicaView[] = (
  ['down', 'reachable', 'disabled', 'lost', 'copying', 'lagging', 'streaming'] as const
).map((state) => ({ ...UNKNOWN, state }));

for (const [enabled, lost] of [
  [true, false],
  [false, false],
  [true, true],
  [false, true],
] as const) {
  for (const working of [true, false]) {
    for (const copying of [0, 2]) {
      for (const applied of [null, 100n]) {
        for (const lag of [0, MAX_LAG_MS, MAX_LAG_MS + 1]) {
          const look = { lost, proven: true, slot: null, enabled, working, copying, applied, progress: applied };
          const expected = rules.find(([fits]) => fits(look, lag))![1];
          test(`lost ${lost}, enabled ${enabled}, working ${working}, copying ${copying}, applied ${applied}, lag ${lag}: ${expected}, whatever it was`, () => {
            for (const view of previous) {
              expect(observe(view, { kind: 'looked', look }, () => lag, MAX_LAG_MS).state).toBe(expected);
            }
          });
        }
      }
    }
  }
}

test('not proven to have what was seen there: nothing is believed', () => {
  const before = observe(UNKNOWN, { kind: 'looked', look: well }, current, MAX_LAG_MS);
  const after = observe(before, { kind: 'looked', look: { ...well, proven: false } }, current, MAX_LAG_MS);
  expect(after).toMatchObject({ state: 'reachable', applied: null, proven: false });
});

test('unreachable: down, and nothing is believed any more', () => {
  const before = observe(UNKNOWN, { kind: 'looked', look: well }, current, MAX_LAG_MS);
  expect(before).toEqual({
    state: 'streaming',
    applied: 100n,
    progress: 100n,
    slot: 'readback_1',
    copying: 0,
    lagMs: 0,
    proven: true,
  });
  expect(observe(before, { kind: 'unreachable' }, current, MAX_LAG_MS)).toEqual(UNKNOWN);
});

test('the applied position never goes back while the replica stays reachable', () => {
  const before = observe(UNKNOWN, { kind: 'looked', look: well }, current, MAX_LAG_MS);
  const after = observe(
    before,
    { kind: 'looked', look: { ...well, applied: 90n, progress: 100n } },
    current,
    MAX_LAG_MS,
  );
  expect(after.applied).toBe(100n);
});

test('of two progress values seen, the earlier one is believed, the later one is not', () => {
  const busy = { ...well, applied: 100n };
  const first = observe(UNKNOWN, { kind: 'looked', look: { ...busy, progress: 120n } }, current, MAX_LAG_MS);
  expect(first.applied).toBe(100n);
  const second = observe(first, { kind: 'looked', look: { ...busy, progress: 140n } }, lagging, MAX_LAG_MS);
  expect(second.applied).toBe(120n);
  expect(second.state).toBe('lagging');
});
