import { ClientError } from '../lib/errors.ts';
import { isOf, type History, type Identity } from '../lib/history.ts';
import type { Position } from '../lib/position.ts';

/** A position, and the log that it was found in. */
export interface FeedPlace extends Position {
  logId: bigint;
}

/** What a client holds to go on from. Cluster and timeline are those of the primary; 0 where they were not known. */
export interface FeedCursor extends FeedPlace, Identity {
  /** Given out with a row of a snapshot, before the whole of it was sent. */
  isPartial: boolean;
}

const VERSION = 2;
const BYTES = 34;

/** Version, flags, cluster, timeline, log, LSN and place, as 46 characters of base64url. */
export function encodeCursor({ cluster, timeline, logId, lsn, place, isPartial }: FeedCursor): string {
  const bytes = Buffer.alloc(BYTES);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(isPartial ? 1 : 0, 1);
  bytes.writeBigUInt64BE(cluster, 2);
  bytes.writeBigUInt64BE(logId, 10);
  bytes.writeBigUInt64BE(lsn, 18);
  bytes.writeUInt32BE(place, 26);
  bytes.writeUInt32BE(timeline, 30);
  return bytes.toString('base64url');
}

/**
 * `history` is the primary's, as far as it is known.
 * @throws ClientError BAD_CURSOR where it is none of ours or of another cluster, CURSOR_EXPIRED where nobody can go on from it.
 */
export function decodeCursor(text: string, history: History | undefined): FeedCursor {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== BYTES || bytes.toString('base64url') !== text || bytes.readUInt8(0) !== VERSION) {
    throw badCursor('is not one that this server gave out');
  }
  const cursor: FeedCursor = {
    cluster: bytes.readBigUInt64BE(2),
    timeline: bytes.readUInt32BE(30),
    logId: bytes.readBigUInt64BE(10),
    lsn: bytes.readBigUInt64BE(18),
    place: bytes.readUInt32BE(26),
    isPartial: bytes.readUInt8(1) === 1,
  };
  if (history && cursor.cluster !== 0n) checkHistory(cursor, history);
  if (cursor.isPartial) throw cursorExpired('is of a snapshot that did not end');
  return cursor;
}

/** What follows it on a timeline that was left there, nobody was told of what took its place. */
function checkHistory({ cluster, timeline, lsn }: FeedCursor, history: History): void {
  if (cluster !== history.cluster) throw badCursor('belongs to another database cluster');
  if (!isOf(history, timeline, lsn)) throw cursorExpired('is of changes that the primary has lost');
}

export function badCursor(what: string): ClientError {
  const message = `The cursor ${what}: send the one of the last event, or none and snapshot: true.`;
  return new ClientError('BAD_CURSOR', message, { field: 'after' });
}

export function cursorExpired(what: string): ClientError {
  const message = `The cursor ${what}, so changes after it may be missing: start again, with snapshot: true where you keep a copy.`;
  return new ClientError('CURSOR_EXPIRED', message, { field: 'after' });
}
