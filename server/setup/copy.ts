import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import type { Server } from './requirements.ts';

const POLL_MS = 50;
const REPORT_EVERY_MS = 1000;

interface Copying {
  tables: TableCopy[];
  errors: number;
}

interface TableCopy {
  table: string;
  /** So far; null: its copy has not begun, or waits for the primary to come to rest. */
  rows: number | null;
}

/**
 * Waits until every table of every replica is copied, saying once a second how far each is. Bounded by timeoutMs.
 * @throws SetupError where it takes longer.
 */
export async function awaitInitialCopy(
  primary: Server,
  replicas: Server[],
  timeoutMs: number,
  say: (line: string) => void,
): Promise<void> {
  const totals = await estimatedRows(primary.admin);
  await Promise.all(replicas.map((replica) => awaitCopy(replica, totals, timeoutMs, say)));
}

type Totals = Map<string, number>;

async function awaitCopy(
  replica: Server,
  totals: Totals,
  timeoutMs: number,
  say: (line: string) => void,
): Promise<void> {
  const started = Date.now();
  let reported = started;
  for (let state = await readCopying(replica); state.tables.length > 0; state = await readCopying(replica)) {
    if (Date.now() - started > timeoutMs) throw new SetupError(tooLong(replica, state, timeoutMs));
    if (Date.now() - reported >= REPORT_EVERY_MS) {
      for (const copy of state.tables) say(`${replica.name}: ${describe(copy, totals)}${errorsSoFar(state)}`);
      reported = Date.now();
    }
    await sleep(POLL_MS);
  }
}

/** As the primary's last vacuum or analyze counted them: a table that had neither has no estimate. */
async function estimatedRows(primary: Sql): Promise<Totals> {
  const rows = await primary<{ table: string; total: number }[]>`
    select format('%I.%I', schemaname, tablename) as table, reltuples::float as total from pg_publication_tables
    join pg_class c on c.oid = format('%I.%I', schemaname, tablename)::regclass
    where pubname = 'readback' and reltuples >= 0`;
  return new Map(rows.map(({ table, total }) => [table, total]));
}

async function readCopying({ admin }: Server): Promise<Copying> {
  const [state] = await admin<[Copying | undefined]>`
    select json_agg(json_build_object('table', format('%I.%I', n.nspname, c.relname), 'rows', p.tuples_processed)) as tables,
           max(e.sync_error_count)::int as errors
    from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid and r.srsubstate <> 'r'
    join pg_class c on c.oid = r.srrelid join pg_namespace n on n.oid = c.relnamespace
    left join pg_stat_progress_copy p on p.relid = r.srrelid and p.datname = current_database()
    left join pg_stat_subscription_stats e on e.subid = s.oid
    where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())`;
  return { tables: state?.tables ?? [], errors: state?.errors ?? 0 };
}

/** `copying items, 812,000 of about 1,000,000 rows (81 %)` */
function describe({ table, rows }: TableCopy, totals: Totals): string {
  const name = table.replace(/^public\./, '');
  if (rows === null) return `copying ${name}, waiting`;
  const total = totals.get(table);
  if (!total) return `copying ${name}, ${grouped(rows)} rows so far`;
  const percent = Math.min(99, Math.floor((rows / total) * 100));
  return `copying ${name}, ${grouped(rows)} of about ${grouped(total)} rows (${percent} %)`;
}

const grouped = (count: number) => count.toLocaleString('en');

const errorsSoFar = ({ errors }: Copying) =>
  errors > 0 ? ` (failed ${errors} times: the replica's log says why)` : '';

function tooLong(replica: Server, state: Copying, timeoutMs: number): string {
  const tables = state.tables.map(({ table }) => table.replace(/^public\./, '')).join(', ');
  return (
    `${replica.name} (${replica.at}): the initial copy of ${tables} did not end within ${timeoutMs} ms${errorsSoFar(state)}. ` +
    'Start again to go on waiting, or set INITIAL_COPY_TIMEOUT_MS to more.'
  );
}
