import { declarationOf } from '../../declare/declaration.ts';
import { User } from '../../../schema/tables/users.ts';
import { describe, expect, test } from 'vitest';
import type { Feed } from '../feed.ts';
import { Follower, type Followed } from '../follower.ts';
import { RecentChanges, type FeedChange } from '../recent.ts';
import { FeedStream, type FeedEvent } from '../stream.ts';
import { Wake } from '../wake.ts';
import { FanOut } from './fan-out.ts';
import type { Render } from './group.ts';

/** A feed that is live, and has what is written. */
function smallFeed() {
  const recent = new RecentChanges(100);
  const wake = new Wake();
  const end = () => ({ ...recent.end, logId: 1n });
  const followed: Followed = {
    recent,
    open: undefined,
    isLive: true,
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
    recent.push([{ tableName: 'users', key, operation: 'INSERT', position, logId: 1n } as FeedChange]);
    wake.ring();
  };
  return { feed: feed as unknown as Feed, write };
}

const sight = (see: (change: FeedChange) => FeedChange) => ({
  key: 'all',
  own: '',
  ownersIn: () => [],
  see,
  seeRow: () => null,
});

const request = {
  tables: [declarationOf(User)],
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
      return plain(event, audience, () => []);
    },
  ],
];

describe('an event that cannot be told ends its subscribers, each with an error; who subscribes then goes on', () => {
  test.for(faults)('as it cannot be %s', async ([, see, render]) => {
    const { feed, write } = smallFeed();
    const fanOut = new FanOut({ feed, bufferBytes: 1e6, slowClientTimeoutMs: 1000 });
    const subscribe = () => {
      const heard: string[] = [];
      const connection = {
        isOpen: true,
        unsent: 0,
        write: (frames: Buffer) => void heard.push(...frames.toString().match(/(?<="key":")\w+/g)!),
        read: () => Promise.resolve(),
        end() {},
      };
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
