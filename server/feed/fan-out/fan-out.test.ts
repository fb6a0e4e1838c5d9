import type { Declaration } from '../../declare/declaration.ts';
import { parse, type OperationDefinitionNode } from 'graphql';
import { describe, expect, test } from 'vitest';
import { Budget } from '../../lib/budget.ts';
import type { Feed } from '../feed.ts';
import { Follower, type Followed } from '../follower.ts';
import { RecentChanges, type FeedChange } from '../recent.ts';
import { FeedStream, type FeedEvent, type FeedRequest } from '../stream.ts';
import { Wake } from '../wake.ts';
import { FanOut } from './fan-out.ts';
import type { Render } from './group.ts';
import { groupKey } from './key.ts';

/** A feed that is live, and has what is written. */
function smallFeed() {
  const recent = new RecentChanges(100);
  const wake = new Wake();
  const end = () => ({ ...recent.end, logId: 1n });
  const followed: Followed = {
    recent,
    open: undefined,
    isLive: true,
    assertNamed: () => {},
    get end() {
      return end();
    },
    moved: () => wake.next(),
  };
  const feed = Object.assign(followed, {
    gaps: 0,
    opened: () => Promise.resolve(),
    follow: (from = end()) => new Follower(followed, from),
  });
  const write = (key: string) => {
    const position = { lsn: recent.end.lsn + 1n, place: 1 };
    recent.push([{ tableName: 'users', key, operation: 'INSERT', position, logId: 1n, size: 0 } as FeedChange]);
    wake.ring();
  };
  return { feed: feed as unknown as Feed, write, end };
}

/** A socket that is read at once; `heard`: the keys of its events. */
function smallSocket() {
  const heard: string[] = [];
  const connection = {
    isOpen: true,
    unsent: 0,
    write: (frames: string) => void heard.push(...frames.match(/(?<="key":")\w+/g)!),
    read: () => Promise.resolve(),
    end() {},
  };
  return { heard, connection };
}

const sight = (see: (change: FeedChange) => FeedChange) => ({
  key: 'all',
  own: '',
  ownersIn: () => [],
  see,
  seeRow: () => null,
});

const request = {
  tables: [{ name: 'users' } as Declaration],
  key: null,
  operations: null,
  from: 'now' as const,
  wantsMarks: false,
};

const keyOf = (event: FeedEvent) => (event.kind === 'change' ? event.change.key : '');
const plain: Render = async (event) => `{"key":"${keyOf(event)}"}`;

function badKey(key: string): void {
  if (key === 'bad') throw new RangeError('Invalid time value');
}

const faults: [string, (change: FeedChange) => FeedChange, Render][] = [
  [
    'looked at',
    (change) => {
      badKey(change.key);
      return change;
    },
    plain,
  ],
  [
    'rendered',
    (change) => change,
    async (event, audience) => {
      badKey(keyOf(event));
      return plain(event, audience, { now: () => [], more: () => new Promise(() => {}) });
    },
  ],
];

test('subscriptions whose variables differ are no group, also by numbers that JSON has no form for', () => {
  const document = parse('subscription ($x: Double) { itemChanged(weight: $x) { key } }');
  const [operation] = document.definitions as [OperationDefinitionNode];
  const values = [null, NaN, Infinity, -Infinity, 0];
  const keys = values.map((x) => groupKey(operation, document, { x }, ''));
  expect(new Set(keys).size).toBe(values.length);
});

describe('an event that cannot be told ends its subscribers, each with an error; who subscribes then goes on', () => {
  test.for(faults)('as it cannot be %s', async ([, see, render]) => {
    const { feed, write } = smallFeed();
    const fanOut = new FanOut({ feed, bufferBytes: 1e6, slowClientTimeoutMs: 1000 });
    const subscribe = () => {
      const { heard, connection } = smallSocket();
      const stream = new FeedStream({ ...request, sight: sight(see) }, () => ({}));
      const ended = fanOut
        .open('key', stream, { connection, id: '1' }, () => {}, { render, cost: 1, spender: '' })
        .next();
      return { heard, ended: ended.then(() => 'ended', String) };
    };
    const subscribers = [subscribe(), subscribe()];
    write('good');
    for (const { heard } of subscribers) await expect.poll(() => heard).toEqual(['good']);
    expect(fanOut.groups).toBe(1);
    write('bad');
    for (const { ended } of subscribers) expect(await ended).toBe('RangeError: Invalid time value');
    expect([fanOut.groups, fanOut.subscribers]).toEqual([0, 0]);
    const { heard } = subscribe();
    write('next');
    await expect.poll(() => heard).toEqual(['next']);
  });
});

describe('in a shared group an event is paid for by those for whom it is rendered', () => {
  const PER_SECOND = 1000;

  /** Each event costs what so many seconds pay for; three are saved up. */
  function sharedGroup(seconds: number) {
    const { feed, write, end } = smallFeed();
    const fanOut = new FanOut({ feed, bufferBytes: 1e6, slowClientTimeoutMs: 1000 });
    const budget = new Budget({ requestsPerSecond: Infinity, costPerSecond: PER_SECOND });
    const cost = seconds * PER_SECOND;
    const paid: string[] = [];
    const render: Render = (event, audience, payers) =>
      budget.event(payers, cost, (payer) => {
        paid.push(`${payer} for ${keyOf(event)}`);
        return plain(event, audience, payers);
      });
    const subscribe = (spender: string, from: FeedRequest['from']) => {
      const { heard, connection } = smallSocket();
      const stream = new FeedStream({ ...request, from, sight: sight((change) => change) }, () => ({}));
      fanOut.open('key', stream, { connection, id: '1' }, () => {}, { render, cost, spender });
      return heard;
    };
    const place = () => ({ ...end(), isPartial: false, cluster: 1n, timeline: 1 });
    return { write, place, paid, subscribe };
  }

  test('who reads again what others have had pays for it, and waits where nothing is left', async () => {
    const { write, place, paid, subscribe } = sharedGroup(1.5);
    const start = place();
    for (const key of ['a', 'b', 'c', 'd']) write(key);
    const grace = subscribe('grace', 'now');
    write('e');
    await expect.poll(() => grace).toEqual(['e']);
    const ada = subscribe('ada', start);
    await expect.poll(() => ada).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(paid).toEqual(['grace for e', 'ada for a', 'ada for b', 'ada for c', 'ada for d']);
  });

  test('who wants what another cannot pay for pays for it, and does not wait until the other can', async () => {
    const { write, place, paid, subscribe } = sharedGroup(100);
    const start = place();
    write('a');
    const between = place();
    write('b');
    const ada = subscribe('ada', start);
    await expect.poll(() => ada).toEqual(['a']);
    const grace = subscribe('grace', between);
    await expect.poll(() => grace).toEqual(['b']);
    await expect.poll(() => ada).toEqual(['a', 'b']);
    expect(paid).toEqual(['ada for a', 'grace for b']);
  });
});
