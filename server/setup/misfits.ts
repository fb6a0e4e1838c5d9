import type { Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import { fillObstacles, newColumns } from './fills.ts';
import { obstacles } from './obstacles.ts';
import { publishedBy, shapesOf, type TableShape } from './shapes.ts';

/** The primary in the transaction that has run its part, and what it sent and had before. */
interface PrimaryState {
  sql: Sql;
  before: TableShape[];
  /** The tables that it sent, with all of their columns. */
  existing: TableShape[];
}

/** A replica in the transaction that has run its part. */
interface ReplicaState {
  name: string;
  sql: Sql;
  /** Tables that it has a subscription to. */
  subscribed: string[];
  /** Those tables, as they were before. */
  earlier: TableShape[];
  /** It has yet to apply what was sent before. */
  isBehind: boolean;
}

/** @throws SetupError with a line for each thing that would break replication, and its remedy. */
export async function refuseMisfits(version: string, primary: PrimaryState, replicas: ReplicaState[]): Promise<void> {
  const after = await publishedBy(primary.sql);
  const added = newColumns(primary.existing, primary.before, after);
  const lines: string[] = [];
  for (const replica of replicas) {
    const { sql, subscribed } = replica;
    const taking = await shapesOf(sql, [
      ...new Set([...primary.before, ...after, ...replica.earlier].map(({ table }) => table)),
    ]);
    const problems = shapeProblems(primary.before, after, taking, replica);
    const held = added.filter(({ table }) => subscribed.includes(table));
    problems.push(...(await fillObstacles(primary.sql, sql, held, taking)));
    lines.push(...problems.map((problem) => `  ${replica.name}: ${problem.replaceAll(/\bpublic\./g, '')}`));
  }
  if (lines.length === 0) return;
  throw new SetupError(`Migration ${version} would break replication; nothing of it was changed.\n${lines.join('\n')}`);
}

/**
 * The replica commits first: until the primary has committed, what it sent before keeps coming. And what it sent before
 * that, as far as the replica is behind.
 */
function shapeProblems(
  before: TableShape[],
  after: TableShape[],
  taking: TableShape[],
  { subscribed, earlier, isBehind }: ReplicaState,
): string[] {
  const lasting = obstacles(after, taking);
  const passing = subscribed.length === 0 ? [] : obstacles(before, taking).filter((one) => !lasting.includes(one));
  const lagging = isBehind
    ? obstacles(earlier, taking).filter((one) => !lasting.includes(one) && !passing.includes(one))
    : [];
  return [...lasting, ...passing.map((one) => `${one} ${SPLIT}`), ...lagging.map((one) => `${one} ${WAIT}`)];
}

const SPLIT =
  'Or, as the primary commits second and sends what it did until then: leave its part here, and give the part of the replica the next number.';
const WAIT =
  'Or, as the replica has yet to apply what was sent before: wait until it has, or enable its subscription, and run this again.';
