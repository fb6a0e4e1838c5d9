import { expect, test } from 'vitest';
import type { Change, Row } from './feed.ts';
import { answered, appliedOn, begun, isDone, isEventOf, received } from './way.ts';

const start = begun('INSERT', 'ada', 1000, ['replica-1', 'replica-2']);
const event = (committedAt: number, appliedAt: number, receivedAt: number) =>
  ({ change: { committedAt: `${committedAt}`, appliedAt: `${appliedAt}`, lagMs: 3 }, receivedAt }) as unknown as Row;

test('the event brings the times of the servers, each between what is known for certain', () => {
  const way = received(answered(start, 1020), event(1005, 1008, 1030), 'replica-1', Number);
  expect(way).toMatchObject({ committedAt: 1005, applied: { 'replica-1': 1008, 'replica-2': null }, receivedAt: 1030 });
  expect(isDone(way)).toBe(false);
  expect(isDone(appliedOn(way, 'replica-2', 1012))).toBe(true);
});

test('clocks that disagree do not turn the order around', () => {
  const early = received(answered(start, 1020), event(900, 901, 1030), 'replica-1', Number);
  expect([early.committedAt, early.applied['replica-1']]).toEqual([1000, 1000]);
  const late = received(answered(start, 1020), event(5000, 5003, 1030), 'replica-1', Number);
  expect([late.committedAt, late.applied['replica-1'], late.receivedAt]).toEqual([1020, 1030, 1030]);
});

test('an event that is here before the answer keeps the time of its commit', () => {
  const way = answered(received(start, event(1005, 1008, 1010), 'replica-1', Number), 1025);
  expect(way.committedAt).toBe(1005);
});

test('a replica is told once; what the event said of it stays', () => {
  const way = received(answered(start, 1020), event(1005, 1008, 1030), 'replica-1', Number);
  expect(appliedOn(way, 'replica-1', 1040).applied['replica-1']).toBe(1008);
  expect(appliedOn(way, 'replica-2', 900).applied['replica-2']).toBe(1005);
});

test('an update is known by the time it wrote', () => {
  const written = { key: '1', bookmark: '', updatedAt: 'now' };
  const change = (updatedAt: string, operation = 'UPDATE') =>
    ({ __typename: 'UserChange', table: 'users', key: '1', operation, user: { updatedAt } }) as Change;
  expect(isEventOf(written, 'UPDATE', change('now'))).toBe(true);
  expect(isEventOf(written, 'UPDATE', change('before'))).toBe(false);
  expect(isEventOf(written, 'DELETE', change('now'))).toBe(false);
  expect(isEventOf({ ...written, key: '2' }, 'UPDATE', change('now'))).toBe(false);
});
