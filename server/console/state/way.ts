import type { Operation } from '../../../schema/generated/operations.ts';
import type { Change, Row } from './feed.ts';
import type { Row as Image } from './values.ts';

/** One write and when it came where, in milliseconds by this browser's clock. Null: not yet. */
export interface Way {
  operation: Operation;
  title: string;
  sentAt: number;
  answeredAt: number | null;
  committedAt: number | null;
  applied: Readonly<Record<string, number | null>>;
  receivedAt: number | null;
  /** The server's own measure: from commit to apply. */
  lagMs: number | null;
  failure: string | null;
}

/** What the answer to a write says that its event is known by. */
export interface Written {
  /** The type of its table's changes. */
  type: string | undefined;
  key: string;
  bookmark: string;
  /** As it was written. */
  row: Image;
  /** The fields that the write gave. They tell this update from others of the same row. */
  given: readonly string[];
}

export function begun(operation: Operation, title: string, sentAt: number, replicas: readonly string[]): Way {
  return {
    operation,
    title,
    sentAt,
    answeredAt: null,
    committedAt: null,
    applied: Object.fromEntries(replicas.map((name) => [name, null])),
    receivedAt: null,
    lagMs: null,
    failure: null,
  };
}

export function isEventOf(written: Written, operation: Operation, change: Change): boolean {
  if (change.type !== written.type || change.key !== written.key || change.operation !== operation) return false;
  const { after } = change;
  return operation !== 'UPDATE' || !after || written.given.every((name) => isSame(after[name], written.row[name]));
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

/** The answer is here: the primary has committed before. The event will tell when. */
export const answered = (way: Way, at: number): Way => ({
  ...way,
  answeredAt: at,
  committedAt: way.committedAt ?? at,
});

/** A replica was found to have it; what the event says of its own replica is better known. */
export const appliedOn = (way: Way, replica: string, at: number): Way => ({
  ...way,
  applied: { ...way.applied, [replica]: way.applied[replica] ?? Math.max(at, way.committedAt ?? at) },
});

/**
 * The event is here. It brings the times of commit and apply by the servers' clocks; `here` turns them into this
 * browser's, to within a round trip, so they are held between what is known for certain.
 */
export function received(
  way: Way,
  { change, receivedAt }: Row,
  source: string | null,
  here: (iso: string) => number,
): Way {
  const latest = Math.min(way.answeredAt ?? receivedAt, receivedAt);
  const committedAt = between(here(change.committedAt), way.sentAt, latest);
  const appliedAt = between(here(change.appliedAt), committedAt, receivedAt);
  const applied = source === null ? way.applied : { ...way.applied, [source]: appliedAt };
  return { ...way, committedAt, applied, receivedAt, lagMs: change.lagMs };
}

const between = (value: number, least: number, most: number) => Math.min(Math.max(value, least), most);

export const isDone = ({ failure, receivedAt, applied }: Way) =>
  failure !== null || (receivedAt !== null && Object.values(applied).every((at) => at !== null));
