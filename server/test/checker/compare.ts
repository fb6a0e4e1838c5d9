import type postgres from 'postgres';
import { expect } from 'vitest';
import type { TestDatabases } from '../support/databases.ts';
import { changeLog, imageDifferences, prunedLogs } from './change-logs.ts';
import { around, firstDifference, placeIn, type Difference } from './differences.ts';
import type { Journal } from './journal.ts';
import { primaryHistory } from './primary-history.ts';
import { tableDifferences, type TableDifference } from './tables.ts';
import type { Told } from './told.ts';

export interface Comparison {
  /** How many changes the primary has made. */
  changes: number;
  /** A line for each; empty where all sides agree. Their details are printed. */
  differences: string[];
}

/**
 * What the primary did, what both replicas hold and have logged, and what clients were told: row by row and change by
 * change, positions included, so that one cursor means one change wherever it is used. Nobody writes any more.
 */
export async function compareAll(
  { primary, replicas }: TestDatabases,
  journal: Journal,
  clients: Told[] = [],
): Promise<Comparison> {
  await haveEverything(primary);
  const truth = await primaryHistory(primary);
  const logs = await Promise.all(replicas.map((replica, index) => changeLog(replica, `replica-${index + 1}`)));
  const pairs = [...[...logs, ...clients].map((told) => [truth, told]), logs] as [Told, Told][];
  const found = pairs
    .flatMap(([one, other]) => firstDifference(one, other) ?? [])
    .toSorted((a, b) => a.index - b.index);
  const tables = await tableDifferences(primary, replicas);
  print(found, tables, [truth, ...logs, ...clients], journal);
  return {
    changes: truth.lines.length,
    differences: [
      ...[...found, ...tables].map(({ what }) => what),
      ...(await prunedLogs(replicas)),
      // Where other changes are compared, other images are no news.
      ...(found.length > 0 ? [] : await imageDifferences(replicas)),
    ],
  };
}

const CATCH_UP_MS = 180_000;

/** Each replica has applied and flushed all that the primary has committed, by its own word: PostgreSQL's, not Readback's. */
async function haveEverything(primary: postgres.Sql): Promise<void> {
  const [row] = await primary`select pg_current_wal_flush_lsn()::text as flushed`;
  const lacking = () => primary`
    select slot_name, active, confirmed_flush_lsn::text as confirmed from pg_replication_slots
    where database = current_database() and plugin = 'pgoutput' and confirmed_flush_lsn < ${row!['flushed']}`;
  await expect
    .poll(lacking, { timeout: CATCH_UP_MS, message: `slots that have not confirmed ${row!['flushed']}` })
    .toEqual([]);
}

/** What differs, what every side has around the earliest difference, and what was done to the servers then. */
function print(found: Difference[], tables: TableDifference[], sides: Told[], journal: Journal): void {
  const lines = [
    ...found.flatMap(({ what, elsewhere }) => [what, ...elsewhere.map((line) => `  ${line}`)]),
    ...tables.flatMap(({ what, details }) => [what, ...details]),
  ];
  if (lines.length === 0) return;
  const [first] = found;
  const [truth] = sides as [Told];
  if (first)
    lines.push(
      '',
      ...sides.flatMap((side) => around(side, placeIn(side, truth, first.index), (at) => journal.shown(at))),
    );
  lines.push('', 'What was done to servers and clients, up to then and shortly after:', ...journal.around(first?.at));
  console.log(lines.join('\n'));
}
