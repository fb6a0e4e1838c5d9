import { expect, test } from 'vitest';
import type { FeedPlace } from './cursor.ts';
import { Follower, type Followed } from './follower.ts';
import { RecentChanges, type FeedChange } from './recent.ts';

const place = (lsn: number): FeedPlace => ({ logId: 1n, lsn: BigInt(lsn), place: 1 });
const change = (lsn: number) => ({ logId: 1n, position: place(lsn), size: 0 }) as unknown as FeedChange;

/** A window of two to four changes over a log of all of them, which hands out two at a time. */
function smallFeed() {
  const recent = new RecentChanges(2);
  const log: FeedChange[] = [];
  const read = (_: unknown, from: FeedPlace) => {
    const reading = {
      position: { lsn: from.lsn, place: from.place },
      next: async () => {
        const batch = log.filter(({ position }) => position.lsn > reading.position.lsn).slice(0, 2);
        reading.position = batch.at(-1)?.position ?? reading.position;
        return batch;
      },
    };
    return reading;
  };
  const feed = { recent, open: { source: {}, read }, isLive: true, end: place(0), moved: () => Promise.resolve() };
  const write = (lsn: number) => {
    log.push(change(lsn));
    recent.push([change(lsn)]);
    feed.end = place(lsn);
  };
  return { feed: feed as unknown as Followed, write };
}

async function take(follower: Follower, count: number): Promise<number[]> {
  const taken: number[] = [];
  while (taken.length < count) {
    const next = follower.take();
    if (next) taken.push(Number(next.position.lsn));
    else await follower.wait();
  }
  return taken;
}

test('one that falls behind, catches up and falls behind again gets each change once, in order', async () => {
  const { feed, write } = smallFeed();
  const follower = new Follower(feed, place(0));
  let written = 0;
  for (const burst of [5, 2, 7, 1, 12, 3]) {
    for (let n = 0; n < burst; n++) write(++written);
    const expected = Array.from({ length: burst }, (_, n) => written - burst + n + 1);
    expect(await take(follower, burst)).toEqual(expected);
  }
  expect(follower.isCaughtUp).toBe(true);
});
