import { expect, test } from 'vitest';
import { feedStep, type FeedState, type FeedStep } from './state.ts';

const states: { [Phase in FeedState['phase']]: FeedState & { phase: Phase } } = {
  starting: { phase: 'starting' },
  catchingUp: { phase: 'catchingUp', source: 'replica-1' },
  live: { phase: 'live', source: 'replica-1' },
  degraded: { phase: 'degraded', reason: 'away' },
  stopped: { phase: 'stopped' },
};

const steps = {
  opened: { kind: 'opened', source: 'replica-2' },
  'read, owing': { kind: 'read', owes: true },
  'read to the end': { kind: 'read', owes: false },
  lost: { kind: 'lost', reason: 'gone' },
  stopped: { kind: 'stopped' },
} satisfies Record<string, FeedStep>;

const opened: FeedState = { phase: 'catchingUp', source: 'replica-2' };
const lost: FeedState = { phase: 'degraded', reason: 'gone' };

/** Every state by every step; the compiler asks for each. */
const table: Record<FeedState['phase'], Record<keyof typeof steps, FeedState>> = {
  starting: {
    opened,
    'read, owing': states.starting,
    'read to the end': states.starting,
    lost,
    stopped: states.stopped,
  },
  catchingUp: {
    opened,
    'read, owing': states.catchingUp,
    'read to the end': states.live,
    lost,
    stopped: states.stopped,
  },
  live: { opened, 'read, owing': states.live, 'read to the end': states.live, lost, stopped: states.stopped },
  degraded: {
    opened,
    'read, owing': states.degraded,
    'read to the end': states.degraded,
    lost,
    stopped: states.stopped,
  },
  stopped: {
    opened: states.stopped,
    'read, owing': states.stopped,
    'read to the end': states.stopped,
    lost: states.stopped,
    stopped: states.stopped,
  },
};

for (const [phase, row] of Object.entries(table)) {
  for (const [name, expected] of Object.entries(row)) {
    test(`${phase}, ${name}: ${expected.phase}`, () => {
      expect(feedStep(states[phase as FeedState['phase']], steps[name as keyof typeof steps])).toEqual(expected);
    });
  }
}
