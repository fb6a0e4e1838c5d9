import { signal } from '@preact/signals';
import { ArrivalsDocument, type Operation } from '../../../schema/generated/operations.ts';
import { here } from '../api/clock.ts';
import { now } from '../api/time.ts';
import { follow } from '../api/follow.ts';
import { socket } from '../api/socket.ts';
import { feed } from './live.ts';
import type { Row } from './feed.ts';
import { replication } from './replication.ts';
import { answered, appliedOn, begun, isDone, isEventOf, received, type Way, type Written } from './way.ts';

/** The latest write of this page. */
export const way = signal<Way | null>(null);

let heard: Row[] = [];
let isSought: (row: Row) => boolean = () => false;
let stopArrivals: () => void = () => {};

/** The event may be here before the answer that it is known by: what arrives meanwhile is kept. */
feed.onChange((row) => {
  if (!way.value || isDone(way.value) || way.value.receivedAt !== null) return;
  if (way.value.answeredAt === null) heard.push(row);
  else if (isSought(row)) found(row);
});

/** Sends a write, and draws its way. @throws Refusal */
export async function send(operation: Operation, title: string, write: () => Promise<Written>): Promise<void> {
  stopArrivals();
  heard = [];
  isSought = () => false;
  const names = replication.value?.replicas.map(({ name }) => name) ?? [];
  way.value = begun(operation, title, now(), names);
  try {
    trace(operation, await write());
  } catch (error) {
    way.value = { ...way.value, failure: (error as Error).message };
    throw error;
  }
}

function trace(operation: Operation, written: Written): void {
  way.value = answered(way.value!, now());
  isSought = ({ change }) => isEventOf(written, operation, change);
  const early = heard.find(isSought);
  heard = [];
  if (early) found(early);
  stopArrivals = follow(socket, {
    document: ArrivalsDocument,
    variables: () => ({ bookmark: written.bookmark }),
    next: ({ arrivals }) => arrived(arrivals.replica, here(arrivals.at)),
    failed: () => stopArrivals(),
  });
}

function found(row: Row): void {
  way.value = received(way.value!, row, replication.value?.feed.source ?? null, here);
}

function arrived(replica: string, at: number): void {
  way.value = appliedOn(way.value!, replica, Math.min(at, now()));
  if (Object.values(way.value.applied).every((time) => time !== null)) stopArrivals();
}
