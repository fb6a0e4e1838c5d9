import { signal } from '@preact/signals';
import { ahead, here } from '../api/clock.ts';
import { now } from '../api/time.ts';
import { connection } from '../api/socket.ts';
import type { Feed } from './feed.ts';
import { replication } from './replication.ts';

/** What the charts show: the last two minutes. */
export const SPAN_MS = 120_000;
const SAMPLE_MS = 500;
const MOST_EVENTS = 2000;

export interface Sample {
  at: number;
  lag: Readonly<Record<string, number | null>>;
}

export const samples = signal<readonly Sample[]>([]);
/** From the commit on the primary to the event in this browser, of changes that were not caught up with. */
export const arrivals = signal<readonly { at: number; ms: number }[]>([]);

let fresh: { at: number; ms: number }[] = [];

export function startMeasuring(feed: Feed): void {
  feed.onChange(({ change, receivedAt }) => {
    if (!ahead.value || feed.behind.value || fresh.length >= MOST_EVENTS) return;
    fresh.push({ at: receivedAt, ms: Math.max(receivedAt - here(change.committedAt), 0) });
  });
  setInterval(sample, SAMPLE_MS);
}

/** Lag is told when it moves: in between it stands where it was. */
function sample(): void {
  const at = now();
  const isKnown = connection.value === 'open';
  const replicas = replication.value?.replicas ?? [];
  const lag = Object.fromEntries(replicas.map(({ name, lagMs }) => [name, isKnown ? lagMs : null]));
  const isRecent = (point: { at: number }) => at - point.at <= SPAN_MS;
  samples.value = [...samples.value.filter(isRecent), { at, lag }];
  arrivals.value = [...arrivals.value.filter(isRecent), ...fresh].slice(-MOST_EVENTS);
  fresh = [];
}

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
