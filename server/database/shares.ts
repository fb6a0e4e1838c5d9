import { ClientError } from '../lib/errors.ts';
import { Turns } from '../lib/turns.ts';
import type { Sql } from './connect.ts';

/**
 * What statements of requests may have of a pool at once. Counts take long, pages little, and look-ups by key, of which
 * two run at a time, next to nothing: each kind has connections that the others cannot take, and of each kind one
 * spender has half.
 */
export interface Shares {
  pages: Turns;
  counts: Turns;
}

const KEYS = 2;
const MOST_WAITING = 10_000;
const shares = new WeakMap<Sql, Shares>();

/** The same pool, of this many connections, whose statements are fair to all who spend. */
export function withShares(sql: Sql, connections: number): Sql {
  const counts = Math.max(1, Math.floor(0.3 * connections));
  const pages = Math.max(1, connections - counts - KEYS);
  shares.set(sql, { pages: turns(pages), counts: turns(counts) });
  return sql;
}

/** Undefined: its statements are sent as they come. */
export const sharesOf = (sql: Sql): Shares | undefined => shares.get(sql);

const turns = (most: number) => new Turns({ most, mostOfOne: Math.ceil(most / 2), mostWaiting: MOST_WAITING, refused });

const refused = () =>
  new ClientError(
    'RATE_LIMITED',
    `Of pages and counts ${MOST_WAITING} wait for the database, which is the most, and most of them are yours: try again in 5 s.`,
    { retryAfterS: 5 },
  );
