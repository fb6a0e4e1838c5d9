import { subscribedTables } from '../../database/sql/subscriptions.ts';
import { SetupError } from '../../lib/errors.ts';
import { formatLsn, type Lsn } from '../../lib/lsn.ts';
import { arrival, beat } from '../../setup/log-state.ts';
import type { OperatedServer, Server, Servers } from '../../setup/servers.ts';
import { verifyTable, type TableComparison, type VerifyOptions } from './compare.ts';
import { collationOf, fixTextForm, sortedByBytes, tablesToVerify, type VerifiedTable } from './read.ts';

export interface ReplicaComparison {
  name: string;
  /** Every row is compared as of this position of the primary, or a later one. */
  position: string;
  tables: TableComparison[];
}

export interface VerifyReport {
  isSame: boolean;
  seconds: number;
  replicas: ReplicaComparison[];
}

export type OnProgress = (replica: string, table: string, rows: number, estimatedRows: number) => void;

/** Compares all that is published, or the tables named, with each replica in turn. */
export async function verify(
  { primary, replicas }: Servers,
  names: string[],
  options: VerifyOptions,
  progress: OnProgress,
): Promise<VerifyReport> {
  const started = performance.now();
  await Promise.all([primary, ...replicas].map(({ admin }) => fixTextForm(admin)));
  const tables = choose(await tablesToVerify(primary.admin), names);
  const reports: ReplicaComparison[] = [];
  for (const replica of replicas) reports.push(await verifyReplica(primary, replica, tables, options, progress));
  const isSame = reports.every((report) => report.tables.every(({ state }) => state === 'same'));
  return { isSame, seconds: (performance.now() - started) / 1000, replicas: reports };
}

/** By name, with or without `public.` */
function choose(tables: VerifiedTable[], names: string[]): VerifiedTable[] {
  if (names.length === 0) return tables;
  const isNamed = (name: string) => (table: VerifiedTable) => [name, `public.${name}`].includes(table.table);
  const unknown = names.filter((name) => !tables.some(isNamed(name)));
  if (unknown.length > 0) {
    const published = tables.map(({ table }) => table).join(', ');
    throw new SetupError(`Not published: ${unknown.join(', ')}. There are: ${published}.`);
  }
  return tables.filter((table) => names.some((name) => isNamed(name)(table)));
}

async function verifyReplica(
  primary: OperatedServer,
  replica: OperatedServer,
  tables: VerifiedTable[],
  options: VerifyOptions,
  progress: OnProgress,
): Promise<ReplicaComparison> {
  const caughtUp = catchingUp(primary, replica, options.timeoutMs);
  const position = formatLsn(await caughtUp());
  const ready = await readyOn(replica);
  const sameOrder = (await collationOf(primary.admin)) === (await collationOf(replica.admin));
  const reports: TableComparison[] = [];
  for (const one of tables) {
    const table = sameOrder ? one : sortedByBytes(one);
    const pair = {
      primary: { ...table, sql: primary.admin },
      replica: { ...table, sql: replica.admin, filter: null, only: '' as const },
      caughtUp,
    };
    const seen = (rows: number) => progress(replica.name, one.table, rows, one.estimatedRows);
    reports.push(ready.has(one.table) ? await verifyTable(pair, options, seen) : notCompared(one.table));
  }
  return { name: replica.name, position, tables: reports };
}

const catchingUp = (primary: Server, replica: Server, timeoutMs: number) => async (): Promise<Lsn> => {
  const target = await beat(primary);
  const outcome = await arrival(replica, target, timeoutMs);
  if (outcome === 'arrived') return target;
  const reason = outcome === 'late' ? `did not catch up within ${timeoutMs} ms` : 'has its subscription disabled';
  throw new SetupError(`${replica.name} (${replica.at}) ${reason}, so it cannot be compared: run readback doctor.`);
};

const readyOn = async ({ admin }: OperatedServer) =>
  new Set((await subscribedTables(admin)).flatMap(({ table, isReady }) => (isReady ? [table] : [])));

const notCompared = (table: string): TableComparison => ({
  table,
  state: 'copying',
  rows: 0,
  differences: [],
  unsettled: 0,
  isCut: false,
});
