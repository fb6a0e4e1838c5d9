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

test('an update is known by the values it wrote', () => {
  const row = { id: '1', size: '5', doc: { a: [1] }, seen: true };
  const written = { type: 'NoteChange', key: '1', bookmark: '', row, given: ['size', 'doc', 'pin'] };
  const change = (part: object) =>
    ({
      type: 'NoteChange',
      key: '1',
      operation: 'UPDATE',
      after: { ...row, seen: false },
      ...part,
    }) as unknown as Change;
  expect(isEventOf(written, 'UPDATE', change({}))).toBe(true);
  expect(isEventOf(written, 'UPDATE', change({ after: { ...row, doc: { a: [2] } } }))).toBe(false);
  expect(isEventOf(written, 'DELETE', change({}))).toBe(false);
  expect(isEventOf(written, 'DELETE', change({ operation: 'DELETE', after: null }))).toBe(true);
  expect(isEventOf(written, 'UPDATE', change({ key: '2' }))).toBe(false);
  expect(isEventOf(written, 'UPDATE', change({ type: 'TagChange' }))).toBe(false);
});
