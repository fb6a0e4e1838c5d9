import { expect, test } from 'vitest';
import type { Replica, Replication } from './replication.ts';
import { duration, stateWords, summary } from './words.ts';

const replica = (part: Partial<Replica>): Replica => ({
  name: 'replica-1',
  state: 'STREAMING',
  position: '0/1',
  lagMs: 0,
  lagBytes: 0,
  copyingTables: 0,
  slot: null,
  ...part,
});
const now = (reachable: boolean, ...replicas: Replica[]) =>
  ({ primary: { reachable, position: '0/1' }, replicas }) as Replication;

test('each state has its words', () => {
  const words = [
    {},
    { lagMs: 2300 },
    { state: 'LAGGING', lagMs: 65_000 },
    { state: 'COPYING', copyingTables: 1 },
    { state: 'DISABLED' },
    { state: 'LOST' },
    { state: 'REACHABLE' },
    { state: 'DOWN' },
  ] as Partial<Replica>[];
  expect(words.map((part) => stateWords(replica(part)))).toEqual([
    'Up to date',
    'Behind by 2.3 s',
    'Behind by 1 min',
    'Copying 1 table',
    'Stopped: disabled',
    'Lost: must be copied again',
    'Not applying',
    'Does not answer',
  ]);
});

test('the situation is said in a sentence', () => {
  const ill = replica({ name: 'replica-2', state: 'DISABLED' });
  expect(summary(now(true, replica({})), 'open')).toMatchObject({ health: 'well' });
  expect(summary(now(true, replica({}), ill), 'open')).toEqual({
    health: 'stopped',
    text: 'Replica 2 – stopped: disabled. The other replicas answer reads.',
  });
  expect(summary(now(true, ill), 'open').text).toContain('Reads fall back to the primary');
  expect(summary(now(false, replica({})), 'open').text).toContain('nothing can be written');
  expect(summary(now(true, replica({})), 'lost').text).toContain('connection to the server is lost');
});

test('times are short', () => {
  expect([0, 0.84, 14.4, 2345, 240_000].map(duration)).toEqual(['0 ms', '0.8 ms', '14 ms', '2.3 s', '4 min']);
});
