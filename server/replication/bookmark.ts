import { ClientError } from '../lib/errors.ts';
import type { Lsn } from '../lib/lsn.ts';

/** Which history of the primary an LSN belongs to: a position says nothing on another cluster or timeline. */
export interface Identity {
  cluster: bigint;
  timeline: number;
}

const VERSION = 1;
const BYTES = 21;

/** Version, cluster, timeline and LSN, as 28 characters of base64url. */
export function encodeBookmark({ cluster, timeline }: Identity, lsn: Lsn): string {
  const bytes = Buffer.alloc(BYTES);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeBigUInt64BE(cluster, 1);
  bytes.writeUInt32BE(timeline, 9);
  bytes.writeBigUInt64BE(lsn, 13);
  return bytes.toString('base64url');
}

/** @throws ClientError BAD_BOOKMARK where it is none of ours, or of another cluster or timeline. */
export function decodeBookmark(text: string, { cluster, timeline }: Identity): Lsn {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== BYTES || bytes.toString('base64url') !== text || bytes.readUInt8(0) !== VERSION) {
    throw badBookmark('is not one that this server gave out');
  }
  if (bytes.readBigUInt64BE(1) !== cluster) throw badBookmark('belongs to another database cluster');
  if (bytes.readUInt32BE(9) !== timeline) throw badBookmark('belongs to another timeline of the primary');
  return bytes.readBigUInt64BE(13);
}

export function badBookmark(what: string): ClientError {
  return new ClientError('BAD_BOOKMARK', `The bookmark ${what}: leave it out, or send the one of your latest answer.`);
}
