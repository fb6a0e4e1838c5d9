import { expect, onTestFinished, test } from 'vitest';
import type { Declaration } from '../declare/declaration.ts';
import { identifier } from '../database/sql/columns.ts';
import { freshDatabases } from './support/databases.ts';
import { load, randomTables, sqlName, type RandomTable } from './support/random-tables.ts';
import { expectSameByRest } from './support/rest-compared.ts';
import { expectExact } from './support/rows-compared.ts';
import {
  differencesOf,
  expectRelated,
  expectSameEverywhere,
  expectWritten,
  onlyOf,
  serveAllTables,
  type ServedTables,
} from './support/served-tables.ts';

/**
 * The same tables in each run, which npm run test:soak draws anew: what is found once in many seeds is found there.
 * RANDOM_TABLES=100 npm test -- server/test/random-tables.test.ts draws more of them, RANDOM_TABLES_SEED=1 the same again.
 */
const SEED = Number(process.env['RANDOM_TABLES_SEED'] ?? 1_704_575_152);
const COUNT = Number(process.env['RANDOM_TABLES'] ?? 20);

test('random tables are added, served and written as they are', { timeout: 600_000 }, async () => {
  console.log(`RANDOM_TABLES_SEED=${SEED} RANDOM_TABLES=${COUNT}`);
  const drawn = randomTables(SEED, COUNT);
  const databases = await freshDatabases();
  onTestFinished(() => databases.drop());
  await load(databases.primary, drawn);
  const served = await serveAllTables(databases).catch((error: unknown) => {
    throw new Error(`${String(error)}\n\n${drawn.map(({ ddl }) => ddl).join('\n')}`, { cause: error });
  });
  expect(served.said.filter((line) => line.startsWith('Not taken'))).toEqual([]);
  expect(served.tables).toHaveLength(COUNT);
  const faults = new Faults(drawn);
  for (const table of served.tables) await faults.noting(table, () => expectServed(served, table));
  for (const table of served.tables) await faults.noting(table, () => expectKept(served, table));
  faults.report(served.output());
  expect(await differencesOf(databases)).toEqual([]);
});

/** Goes on after a fault: each is told with the table that has it. */
class Faults {
  readonly #drawn: readonly RandomTable[];
  readonly #found: string[] = [];

  constructor(drawn: readonly RandomTable[]) {
    this.#drawn = drawn;
  }

  async noting(table: Declaration, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { actual, expected } = error as { actual?: unknown; expected?: unknown };
      const differ = actual === undefined ? [] : [`got ${JSON.stringify(actual)}`, `for ${JSON.stringify(expected)}`];
      const ddl = this.#drawn.find((one) => sqlName(one) === inFull(table.name))?.ddl;
      this.#found.push([String(error), ...differ, ddl ?? table.name].map((part) => part.slice(0, 3000)).join('\n'));
    }
  }

  report(log: string): void {
    if (this.#found.length === 0) return;
    // Of the server, for what it told nobody.
    const lines = log.split('\n').flatMap((line) => (line.includes('"level":50') ? [line.slice(0, 300)] : []));
    throw new Error([`RANDOM_TABLES_SEED=${SEED}`, ...this.#found, ...lines].join('\n\n'));
  }
}

const inFull = (name: string) =>
  /^(?:"(?:[^"]|"")+"|[^".]+)$/.test(name) ? `"public".${identifier(name)}` : identifier(name);

async function expectServed(served: ServedTables, table: Declaration): Promise<void> {
  const rows = await served.asks.rows(table);
  await expectExact(served.primary, table, rows, await onlyOf(served, table));
  await expectSameEverywhere(served, table, rows);
  await expectRelated(served, table);
}

async function expectKept(served: ServedTables, table: Declaration): Promise<void> {
  await expectWritten(served, table, await served.asks.rows(table));
  await expectSameByRest(served, table, await served.asks.rows(table));
}
