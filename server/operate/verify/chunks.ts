import type { Pair } from './pair.ts';
import { boundAfter, hashesOf, sumOf, type Key, type Range, type Sum } from './read.ts';
import { settle, type Difference } from './settle.ts';
import type { VerifiedTable } from './table.ts';

export interface VerifyOptions {
  /** Rows that are compared at once. */
  chunkRows: number;
  /** Differences of one table that are named; past them its comparison ends. */
  most: number;
  /** How long the replica may take to apply what the primary has committed. */
  timeoutMs: number;
}

export interface TableReport {
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
  table: VerifiedTable,
  { chunkRows, most }: VerifyOptions,
  progress: (rows: number) => void,
): Promise<TableReport> {
  const differences: Difference[] = [];
  let rows = 0;
  let unsettled = 0;
  let after: Key | undefined;
  do {
    const upTo = await boundAfter(pair.primary, table, after, chunkRows);
    const chunk = await verifyChunk(pair, table, { after, upTo });
    differences.push(...chunk.differences);
    unsettled += chunk.unsettled;
    rows += chunk.rows;
    progress(rows);
    after = upTo;
  } while (after !== undefined && differences.length < most);
  const isCut = after !== undefined || differences.length > most;
  const state = differences.length > 0 ? 'different' : unsettled > 0 ? 'moving' : 'same';
  return { table: table.table, state, rows, differences: differences.slice(0, most), unsettled, isCut };
}

interface Chunk {
  rows: number;
  differences: Difference[];
  unsettled: number;
}

async function verifyChunk(pair: Pair, table: VerifiedTable, range: Range): Promise<Chunk> {
  const first = await sums(pair, table, range);
  const same = { rows: first[0].rows, differences: [], unsettled: 0 };
  if (isSame(first)) return same;
  await pair.caughtUp();
  if (isSame(await sums(pair, table, range))) return same;
  const suspects = await differing(pair, table, range);
  if (suspects.length === 0) return same;
  if (table.key.length === 0) return { ...same, ...(await settleWhole(pair, table)) };
  return { ...same, ...(await settle(pair, table, suspects)) };
}

/** Both at once: the less time between the two, the less differs by time alone. */
function sums({ primary, replica }: Pair, table: VerifiedTable, range: Range): Promise<[Sum, Sum]> {
  return Promise.all([sumOf(primary, table, range, table.filter), sumOf(replica, table, range, null)]);
}

const isSame = ([a, b]: [Sum, Sum]) => a.rows === b.rows && a.sum === b.sum;

async function differing({ primary, replica }: Pair, table: VerifiedTable, range: Range): Promise<string[]> {
  const [own, other] = await Promise.all([
    hashesOf(primary, table, range, table.filter),
    hashesOf(replica, table, range, null),
  ]);
  return [...new Set([...own.keys(), ...other.keys()])].filter((key) => own.get(key) !== other.get(key));
}

const WHOLE: Range = { after: undefined, upTo: undefined };
const ROUNDS = 10;

/** Without a key nothing tells rows apart but what they hold: the table has to hold still for one look at both sides. */
async function settleWhole(pair: Pair, table: VerifiedTable): Promise<Omit<Chunk, 'rows'>> {
  for (let round = 0; round < ROUNDS; round++) {
    const before = await hashesOf(pair.primary, table, WHOLE, table.filter);
    await pair.caughtUp();
    const other = await hashesOf(pair.replica, table, WHOLE, null);
    const after = await sumOf(pair.primary, table, WHOLE, table.filter);
    const keys = [...new Set([...before.keys(), ...other.keys()])].filter((key) => before.get(key) !== other.get(key));
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
