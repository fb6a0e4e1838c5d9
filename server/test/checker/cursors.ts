import { decodeCursor } from '../../feed/cursor.ts';
import { formatLsn } from '../../lib/lsn.ts';
import type { ResumingClient } from '../support/feed-clients.ts';
import { lineOf, type Told } from './told.ts';

/** A cursor for people. */
export function shownCursor(cursor: string | undefined, logs: LogNames): string {
  if (cursor === undefined) return 'no cursor';
  const { lsn, place, logId } = decodeCursor(cursor, undefined);
  return `${formatLsn(lsn)}+${place} of ${shownLog(logId, logs)}`;
}

/** The replica of each log, by its id. */
export type LogNames = ReadonlyMap<bigint, string>;

/** Which of them a cursor is of; undefined: of none. */
export function logIndexOf(cursor: string | undefined, logs: LogNames): number | undefined {
  const index = cursor === undefined ? -1 : [...logs.keys()].indexOf(decodeCursor(cursor, undefined).logId);
  return index === -1 ? undefined : index;
}

const shownLog = (logId: bigint, logs: LogNames): string => `log ${logId} (${logs.get(logId) ?? 'of no replica'})`;

/** What a client was told; by its cursors, each change has the position that the logs must give it. */
export function toldTo(client: ResumingClient, name: string, names: LogNames): Told {
  const told: Told = { name, lines: [], times: client.times, logs: [] };
  for (const [index, change] of client.told.entries()) {
    const cursor = client.cursors[index];
    const decoded = cursor === undefined ? undefined : decodeCursor(cursor, undefined);
    told.lines.push(decoded ? lineOf(decoded, change) : change);
    told.logs.push(decoded ? shownLog(decoded.logId, names) : 'no cursor');
  }
  return told;
}

/** How many times the next change came from another replica than the one before it. */
export const movesOf = ({ logs }: Told): number =>
  logs.filter((log, index) => index > 0 && log !== logs[index - 1]).length;
