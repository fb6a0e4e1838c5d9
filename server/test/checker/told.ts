import { createHash } from 'node:crypto';
import { formatLsn } from '../../lib/lsn.ts';
import type { Position } from '../../lib/position.ts';

/** A line for each change, in order, as one side has it: its position, then operation, key and marker. */
export interface Told {
  /** Whose it is. */
  name: string;
  lines: string[];
  /** When each was applied or heard, by this machine's clock; empty where nobody knows. */
  times: number[];
  /** Of each, the cursor's log; empty where there are no cursors. */
  logs: string[];
}

type Row = Record<string, string | null | undefined>;

/** What tells one version of a row from another, by table: short, whatever the row's size. */
const MARKERS: Record<string, (row: Row) => string> = {
  users: ({ first_name }) => first_name ?? '',
  posts: ({ title, body, body_md5 }) => `${title} ${body_md5 ?? md5(body ?? '')}`,
  counters: ({ marker }) => marker ?? '',
  pairs: ({ marker }) => marker ?? '',
  shards: ({ marker }) => marker ?? '',
};

/** @throws Error for a table that has no marker yet. */
export function markerOf(table: string, row: Row): string {
  const marker = MARKERS[table];
  if (!marker) throw new Error(`no marker for rows of ${table}: add one to MARKERS`);
  return marker(row);
}

export const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** A change as the primary, a change log and a client can all tell it. */
export const changeOf = (operation: string, key: string, marker: string): string => `${operation} ${key} ${marker}`;

export const lineOf = ({ lsn, place }: Position, change: string): string => `${formatLsn(lsn)}+${place} ${change}`;

/** Of a line, what is the same wherever it stands. */
export const withoutPosition = (line: string): string => line.slice(line.indexOf(' ') + 1);
