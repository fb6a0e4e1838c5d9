import { setTimeout as sleep } from 'node:timers/promises';
import { SetupError } from '../lib/errors.ts';
import type { Server } from './requirements.ts';

const POLL_MS = 50;
const REPORT_EVERY_MS = 1000;

interface Copying {
  tables: string[];
  rows: number;
  errors: number;
}

/** Waits until every table of the replica is copied, saying once a second how far it is. Bounded by timeoutMs. */
export async function awaitInitialCopy(replica: Server, timeoutMs: number, say: (line: string) => void): Promise<void> {
  const started = Date.now();
  let reported = started;
  for (let state = await readCopying(replica); state.tables.length > 0; state = await readCopying(replica)) {
    if (Date.now() - started > timeoutMs) throw new SetupError(tooLong(replica, state, timeoutMs));
    if (Date.now() - reported >= REPORT_EVERY_MS) {
      say(
        `${replica.name}: copying ${state.tables.join(', ')}, ${state.rows.toLocaleString('en')} rows so far${errorsSoFar(state)}`,
      );
      reported = Date.now();
    }
    await sleep(POLL_MS);
  }
}

async function readCopying({ admin }: Server): Promise<Copying> {
  const [state] = await admin<[Copying]>`
    select coalesce(json_agg(r.srrelid::regclass::text) filter (where r.srsubstate <> 'r'), '[]') as tables,
           coalesce((select sum(tuples_processed) from pg_stat_progress_copy where datname = current_database()), 0)::int as rows,
           coalesce((select sync_error_count from pg_stat_subscription_stats where subid = s.oid), 0)::int as errors
    from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid
    where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())
    group by s.oid`;
  return state;
}

const errorsSoFar = ({ errors }: Copying) =>
  errors > 0 ? ` (failed ${errors} times: the replica's log says why)` : '';

function tooLong(replica: Server, state: Copying, timeoutMs: number): string {
  return (
    `${replica.name} (${replica.at}): the initial copy of ${state.tables.join(', ')} did not end within ${timeoutMs} ms${errorsSoFar(state)}. ` +
    'Start again to go on waiting, or set INITIAL_COPY_TIMEOUT_MS to more.'
  );
}
