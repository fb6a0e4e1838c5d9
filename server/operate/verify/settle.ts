import { isDeepStrictEqual } from 'node:util';
import type { Pair } from './pair.ts';
import { rowsAt, type Row } from './read.ts';
import type { VerifiedTable } from './table.ts';

/** A row that differs for certain. */
export interface Difference {
  /** By column. Of a table without a key: a hash of the row. */
  key: Record<string, string>;
  kind: 'differs' | 'missing' | 'extra';
  /** Where `kind` is differs. */
  columns: string[];
}

export interface Settled {
  differences: Difference[];
  /** Rows that were written too often to be compared. */
  unsettled: number;
}

/** Rows that differ are looked at this often before they count as too busy. */
const ROUNDS = 10;
/** A row that was inserted and deleted again between two looks is away in both: so it has to differ twice. */
const SURE = 2;

/**
 * What of rows that differed was a matter of time, and what is wrong. In each round the primary is read, then, when it
 * has applied all of that, the replica, then the primary again: a row that the primary has not written between its two
 * reads is the same on a replica that is right.
 */
export async function settle(pair: Pair, table: VerifiedTable, keys: string[]): Promise<Settled> {
  const differences: Difference[] = [];
  const sure = new Map<string, number>();
  let open = keys;
  for (let round = 0; round < ROUNDS && open.length > 0; round++) {
    const looks = await lookAt(pair, table, open);
    open = open.filter((key) => {
      const verdict = judge(looks(key));
      if (verdict === 'differs') sure.set(key, (sure.get(key) ?? 0) + 1);
      if ((sure.get(key) ?? 0) < SURE) return verdict !== 'same';
      differences.push(describe(table, key, looks(key)));
      return false;
    });
  }
  return { differences, unsettled: open.length };
}

interface Look {
  before: Row | undefined;
  replica: Row | undefined;
  after: Row | undefined;
}

async function lookAt({ primary, replica, caughtUp }: Pair, table: VerifiedTable, keys: string[]) {
  const before = await rowsAt(primary, table, keys, table.filter);
  await caughtUp();
  const there = await rowsAt(replica, table, keys, null);
  const after = await rowsAt(primary, table, keys, table.filter);
  return (key: string): Look => ({ before: before.get(key), replica: there.get(key), after: after.get(key) });
}

function judge({ before, replica, after }: Look): 'same' | 'moving' | 'differs' {
  const own = replica?.values;
  if (isDeepStrictEqual(own, before?.values) || isDeepStrictEqual(own, after?.values)) return 'same';
  return before?.version === after?.version ? 'differs' : 'moving';
}

function describe({ key, columns }: VerifiedTable, text: string, { after, replica }: Look): Difference {
  const values = JSON.parse(text) as string[];
  const named = Object.fromEntries(key.map(({ name }, index) => [name, values[index]!]));
  if (!replica) return { key: named, kind: 'missing', columns: [] };
  if (!after) return { key: named, kind: 'extra', columns: [] };
  return { key: named, kind: 'differs', columns: columns.filter((_, i) => after.values[i] !== replica.values[i]) };
}
