import { ClientError } from '../lib/errors.ts';
import { isOf, type History, type Identity } from '../lib/history.ts';
import type { Lsn } from '../lib/lsn.ts';

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

/**
 * A bookmark of an earlier timeline is good up to where that one ended.
 * @throws ClientError BAD_BOOKMARK where it is none of ours, or of another cluster or history.
 */
export function decodeBookmark(text: string, history: History): Lsn {
  const bytes = bytesOf(text);
  if (!bytes) throw badBookmark('is not one that this server gave out');
  if (bytes.readBigUInt64BE(1) !== history.cluster) throw badBookmark('belongs to another database cluster');
  const lsn = bytes.readBigUInt64BE(13);
  if (isOf(history, bytes.readUInt32BE(9), lsn)) return lsn;
  throw badBookmark("is of a timeline that is not in the primary's history, or past the end of one that is");
}

/** Undefined where the text is no bookmark. */
export function clusterOf(text: string): bigint | undefined {
  const bytes = bytesOf(text);
  return bytes?.readBigUInt64BE(1);
}

function bytesOf(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  const isOurs = bytes.length === BYTES && bytes.toString('base64url') === text && bytes.readUInt8(0) === VERSION;
  return isOurs ? bytes : undefined;
}

export function badBookmark(what: string): ClientError {
  return new ClientError('BAD_BOOKMARK', `The bookmark ${what}: leave it out, or send the one of your latest answer.`);
}
