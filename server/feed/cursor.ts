import { ClientError } from '../lib/errors.ts';
import type { Position } from '../lib/position.ts';

/** A position, and the log that it was found in. */
export interface FeedPlace extends Position {
  logId: bigint;
}

/** What a client holds to go on from. */
export interface FeedCursor extends FeedPlace {
  /** System identifier of the primary's cluster; 0 where it was not known. */
  cluster: bigint;
  /** Given out with a row of a snapshot, before the whole of it was sent. */
  isPartial: boolean;
}

const VERSION = 1;
const BYTES = 30;

/** Version, flags, cluster, log, LSN and place, as 40 characters of base64url. */
export function encodeCursor({ cluster, logId, lsn, place, isPartial }: FeedCursor): string {
  const bytes = Buffer.alloc(BYTES);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(isPartial ? 1 : 0, 1);
  bytes.writeBigUInt64BE(cluster, 2);
  bytes.writeBigUInt64BE(logId, 10);
  bytes.writeBigUInt64BE(lsn, 18);
  bytes.writeUInt32BE(place, 26);
  return bytes.toString('base64url');
}

/** @throws ClientError BAD_CURSOR where it is none of ours or of another cluster, CURSOR_EXPIRED where nobody can go on from it. */
export function decodeCursor(text: string, cluster: bigint): FeedCursor {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== BYTES || bytes.toString('base64url') !== text || bytes.readUInt8(0) !== VERSION) {
    throw badCursor('is not one that this server gave out');
  }
  const cursor: FeedCursor = {
    cluster: bytes.readBigUInt64BE(2),
    logId: bytes.readBigUInt64BE(10),
    lsn: bytes.readBigUInt64BE(18),
    place: bytes.readUInt32BE(26),
    isPartial: bytes.readUInt8(1) === 1,
  };
  if (cluster !== 0n && cursor.cluster !== 0n && cursor.cluster !== cluster) {
    throw badCursor('belongs to another database cluster');
  }
  if (cursor.isPartial) throw cursorExpired('is of a snapshot that did not end');
  return cursor;
}

function badCursor(what: string): ClientError {
  const message = `The cursor ${what}: send the one of the last event, or none and snapshot: true.`;
  return new ClientError('BAD_CURSOR', message, { field: 'after' });
}

export function cursorExpired(what: string): ClientError {
  const message = `The cursor ${what}, so changes behind it may be missing: start anew, with snapshot: true where you keep a copy.`;
  return new ClientError('CURSOR_EXPIRED', message, { field: 'after' });
}
