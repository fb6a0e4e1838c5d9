import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Iterates } from '../api/follow.ts';
import { FakeServer } from '../test/fake-server.ts';
import { introspected, schemaOf } from '../test/introspected.ts';
import { Feed, type Place } from './feed.ts';
import { tablesIn } from './tables.ts';

let server: FakeServer;
let feed: Feed;
const refused: string[] = [];

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.spyOn(Math, 'random').mockReturnValue(0);
  server = new FakeServer();
  feed = new Feed(server as Iterates, (code) => refused.push(code));
  feed.start();
  await server.send({ changes: { __typename: 'CaughtUp', cursor: 'start' } });
});
afterEach(() => {
  feed.pause();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const [notes] = tablesIn(introspected(schemaOf()));
const change = (cursor: string, part = {}) => server.send({ changes: { __typename: 'NoteChange', cursor, ...part } });
const caughtUp = (cursor: string) => server.send({ changes: { __typename: 'CaughtUp', cursor } });
const after = () => server.asked.at(-1)!['after'];
const cursors = () => feed.rows.value.map((row) => row.change.cursor);
const passTime = async () => {
  vi.advanceTimersByTime(5000);
  await server.settle();
};

test('a page begins with the latest changes, which are not counted; what happens from then on is', async () => {
  feed.pause();
  feed = new Feed(server as Iterates, (code) => refused.push(code));
  const told: string[] = [];
  feed.onChange((row) => told.push(row.change.cursor));
  feed.start();
  expect(server.asked.at(-1)).toEqual({ after: null, latest: 50 });
  await change('1');
  await change('2');
  await passTime();
  expect([cursors(), feed.total.value, told]).toEqual([['2', '1'], 0, []]);
  await caughtUp('2');
  await change('3');
  await passTime();
  expect([cursors(), feed.total.value, told]).toEqual([['3', '2', '1'], 1, ['3']]);
});

test('rows are drawn some at a time, the newest first', async () => {
  await change('1');
  await change('2');
  expect(cursors()).toEqual([]);
  await passTime();
  expect(cursors()).toEqual(['2', '1']);
  expect(feed.total.value).toBe(2);
  expect(feed.closed.value).toBe(null);
});

test('a pause holds the cursor; what is caught up with afterwards is counted', async () => {
  await change('1');
  feed.pause();
  await server.settle();
  feed.resume();
  expect(after()).toBe('1');
  await change('2');
  await change('3');
  await passTime();
  expect(feed.behind.value).toEqual({ after: 'pause', count: 2 });
  await caughtUp('3');
  expect(feed.behind.value).toBe(null);
  expect(feed.closed.value).toEqual({ after: 'pause', count: 2 });
  expect(cursors()).toEqual(['3', '2', '1']);
});

test('a lost connection goes on after the last event, a mark included', async () => {
  feed.lost();
  await server.drop();
  await passTime();
  expect(after()).toBe('start');
  await change('1');
  await caughtUp('1');
  expect(feed.closed.value).toEqual({ after: 'loss', count: 1 });
});

test('changes before a loss are not counted as caught up with', async () => {
  await change('1');
  feed.lost();
  await server.drop();
  await passTime();
  await caughtUp('1');
  expect(feed.closed.value).toEqual({ after: 'loss', count: 0 });
});

test('an expired cursor is said, and the feed starts again', async () => {
  await change('1');
  await server.refuse('CURSOR_EXPIRED', '');
  await passTime();
  expect(feed.hasGap.value).toBe(true);
  expect(after()).toBe(null);
});

test('a cursor of another database is dropped, with what came before it', async () => {
  await change('1');
  await passTime();
  await server.refuse('BAD_CURSOR', '');
  await passTime();
  expect(after()).toBe(null);
  expect(cursors()).toEqual([]);
  expect(feed.hasGap.value).toBe(false);
});

test('a page that is loaded again has the changes it had, and goes on after them', async () => {
  await change('1');
  const place = feed.place!;
  feed.pause();
  feed = new Feed(server as Iterates, () => {});
  feed.restore(JSON.parse(JSON.stringify(place)) as Place);
  feed.start();
  expect(after()).toBe('1');
  await change('2');
  await caughtUp('2');
  expect(cursors()).toEqual(['2', '1']);
  expect(feed.closed.value).toEqual({ after: 'reload', count: 1 });
  expect(feed.total.value).toBe(1);
});

test('rows of a table are told from where they are asked for on, and nothing is missed', async () => {
  await change('1');
  feed.tell([notes!]);
  await server.settle();
  expect(after()).toBe('1');
  await change('2', { note: { id: '7', title: 'new' }, beforeNote: null });
  await passTime();
  expect(feed.rows.value.map(({ change: { after: row } }) => row)).toEqual([{ id: '7', title: 'new' }, undefined]);
});

test('any other refusal is told', async () => {
  await server.refuse('UNAUTHENTICATED', '');
  expect(refused).toEqual(['UNAUTHENTICATED']);
});
