import { isDeepStrictEqual } from 'node:util';
import type { Lsn } from '../../lib/lsn.ts';
import { boundAfter, hashesOf, rowsAt, sumOf, type Key, type Range, type Row, type TableOn } from './read.ts';

/** A table on the primary, and on one replica that is compared with it. */
export interface Pair {
  primary: TableOn;
  replica: TableOn;
  /** Returns when the replica has applied everything that was committed before the call; says up to where. */
  caughtUp: () => Promise<Lsn>;
}

export interface VerifyOptions {
  /** Rows that are compared at once. */
  chunkRows: number;
  /** Differences of one table that are named; past them its comparison ends. */
  most: number;
  /** How long the replica may take to apply what the primary has committed. */
  timeoutMs: number;
}

export interface TableComparison {
  table: string;
  /** same; different; moving: no difference is certain, and rows were written too often to be compared; copying: not compared. */
  state: 'same' | 'different' | 'moving' | 'copying';
  rows: number;
  differences: Difference[];
  unsettled: number;
  /** There may be more differences than are named. */
  isCut: boolean;
}

/** Compares one table range by range; each read is a short statement of its own that locks nothing. */
export async function verifyTable(
  pair: Pair,
  { chunkRows, most }: VerifyOptions,
  progress: (rows: number) => void,
): Promise<TableComparison> {
  const differences: Difference[] = [];
  let rows = 0;
  let unsettled = 0;
  let after: Key | undefined;
  do {
    const upTo = await boundAfter(pair.primary, after, chunkRows);
    const chunk = await verifyChunk(pair, { after, upTo });
    differences.push(...chunk.differences);
    unsettled += chunk.unsettled;
    rows += chunk.rows;
    progress(rows);
    after = upTo;
  } while (after !== undefined && differences.length < most);
  const isCut = after !== undefined || differences.length > most;
  const state = differences.length > 0 ? 'different' : unsettled > 0 ? 'moving' : 'same';
  return { table: pair.primary.table, state, rows, differences: differences.slice(0, most), unsettled, isCut };
}

interface Chunk extends Settled {
  rows: number;
}

async function verifyChunk(pair: Pair, range: Range): Promise<Chunk> {
  const { rows, isSame } = await compareSums(pair, range);
  const same = { rows, differences: [], unsettled: 0 };
  if (isSame) return same;
  await pair.caughtUp();
  if ((await compareSums(pair, range)).isSame) return same;
  const suspects = unlike(...(await Promise.all([hashesOf(pair.primary, range), hashesOf(pair.replica, range)])));
  if (suspects.length === 0) return same;
  return { ...same, ...(pair.primary.key.length === 0 ? await settleWhole(pair) : await settle(pair, suspects)) };
}

/** Both at once: the less time between the two, the less differs by time alone. */
async function compareSums({ primary, replica }: Pair, range: Range): Promise<{ rows: number; isSame: boolean }> {
  const [own, other] = await Promise.all([sumOf(primary, range), sumOf(replica, range)]);
  return { rows: own.rows, isSame: own.rows === other.rows && own.sum === other.sum };
}

const unlike = (own: Map<string, string>, other: Map<string, string>): string[] =>
  [...new Set([...own.keys(), ...other.keys()])].filter((key) => own.get(key) !== other.get(key));

const WHOLE: Range = { after: undefined, upTo: undefined };

/** Without a key nothing tells rows apart but what they hold: the table has to hold still for one look at both sides. */
async function settleWhole({ primary, replica, caughtUp }: Pair): Promise<Settled> {
  for (let round = 0; round < ROUNDS; round++) {
    const before = await hashesOf(primary, WHOLE);
    await caughtUp();
    const keys = unlike(before, await hashesOf(replica, WHOLE));
    const after = await sumOf(primary, WHOLE);
    if (keys.length === 0) return { differences: [], unsettled: 0 };
    if (after.sum === totalOf(before)) return { differences: keys.map((key) => byHash(key, before)), unsettled: 0 };
  }
  return { differences: [], unsettled: 1 };
}

/** As sumOf has it, from each hash and how often it is there. */
const totalOf = (hashes: Map<string, string>): string =>
  String([...hashes].reduce((sum, [key, count]) => sum + BigInt((JSON.parse(key) as [string])[0]) * BigInt(count), 0n));

const byHash = (key: string, primary: Map<string, string>): Difference => ({
  key: { hash: (JSON.parse(key) as [string])[0] },
  kind: primary.has(key) ? 'missing' : 'extra',
  columns: [],
});

/** A row that differs for certain. */
export interface Difference {
  /** By column. Of a table without a key: a hash of the row. */
  key: Record<string, string>;
  kind: 'differs' | 'missing' | 'extra';
  /** Where `kind` is differs. */
  columns: string[];
}

interface Settled {
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
async function settle(pair: Pair, keys: string[]): Promise<Settled> {
  const differences: Difference[] = [];
  const sure = new Map<string, number>();
  let open = keys;
  for (let round = 0; round < ROUNDS && open.length > 0; round++) {
    const looks = await lookAt(pair, open);
    open = open.filter((key) => {
      const verdict = judge(looks(key));
      if (verdict === 'differs') sure.set(key, (sure.get(key) ?? 0) + 1);
      if ((sure.get(key) ?? 0) < SURE) return verdict !== 'same';
      differences.push(describe(pair.primary, key, looks(key)));
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

async function lookAt({ primary, replica, caughtUp }: Pair, keys: string[]) {
  const before = await rowsAt(primary, keys);
  await caughtUp();
  const there = await rowsAt(replica, keys);
  const after = await rowsAt(primary, keys);
  return (key: string): Look => ({ before: before.get(key), replica: there.get(key), after: after.get(key) });
}

function judge({ before, replica, after }: Look): 'same' | 'moving' | 'differs' {
  const own = replica?.values;
  if (isDeepStrictEqual(own, before?.values) || isDeepStrictEqual(own, after?.values)) return 'same';
  return before?.version === after?.version ? 'differs' : 'moving';
}

function describe({ key, columns }: TableOn, text: string, { after, replica }: Look): Difference {
  const values = JSON.parse(text) as string[];
  const named = Object.fromEntries(key.map(({ name }, index) => [name, values[index]!]));
  if (!replica) return { key: named, kind: 'missing', columns: [] };
  if (!after) return { key: named, kind: 'extra', columns: [] };
  return { key: named, kind: 'differs', columns: columns.filter((_, i) => after.values[i] !== replica.values[i]) };
}
