import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connect.ts';
import { NOT_COMPLETE } from '../database/sql/change-log.ts';
import { deniedInWorker } from '../database/sql/denied.ts';
import { estimatedRows } from '../database/sql/sizes.ts';
import { flushedOn } from '../database/sql/positions.ts';
import {
  ownSubscription,
  subscribedTables,
  subscriptionOf,
  type SubscribedTable,
} from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import type { Server } from './servers.ts';
import { publishedTables } from './shapes.ts';

const FIRST_BEAT_TIMEOUT_MS = 30_000;

/** All is set up, and a replica does not apply what the primary sends. */
export class NothingArrives extends SetupError {}

/** Puts the triggers on a table that log its changes, which know its key. Answers with a row; with none where it has no key. */
export const watch = (replica: Sql, table: string, onlyIf = replica`true`) => replica`
  select readback.watch(i.indrelid::regclass, variadic array(
    select a.attname::text from unnest(i.indkey) with ordinality k(number, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number order by k.place))
  from pg_index i where i.indisprimary and i.indrelid = ${table}::regclass and ${onlyIf}`;

/** Without a subscription the log is of an earlier one: the next begins with an identity of its own. */
export async function startLogAnew(replica: Sql): Promise<void> {
  await replica.begin((sql) => [
    sql`truncate readback.change_log, readback.worker_lives`,
    sql`update readback.log_state set log_id = default, pruned_to = default, complete_since = default`,
  ]);
}

/**
 * Waits for the copies to end, and notes from where on the logs are complete: to be called wherever tables were copied.
 * @throws SetupError where a copy takes too long, NothingArrives where a heartbeat after it does.
 */
export async function completeLogs(
  primary: Server,
  replicas: Server[],
  copyTimeoutMs: number,
  say: Say,
  beatTimeoutMs = FIRST_BEAT_TIMEOUT_MS,
): Promise<void> {
  await awaitInitialCopy(primary, replicas, copyTimeoutMs, say);
  await awaitFirstBeat(primary, replicas, beatTimeoutMs);
  await noteCompleteness(replicas);
}

/**
 * Each replica has applied a transaction that came after its copies, so its position is known, and past them. One whose
 * subscription somebody disabled is served as such, and named by health.
 */
async function awaitFirstBeat(primary: Server, replicas: Server[], timeoutMs: number): Promise<void> {
  const target = await beat(primary);
  const arrivals = await Promise.all(replicas.map((replica) => arrival(replica, target, timeoutMs)));
  const late = replicas.filter((_, index) => arrivals[index] === 'late');
  const lines = await Promise.all(late.map((replica) => tooLate(replica, timeoutMs)));
  if (lines.length > 0) throw new NothingArrives(lines.join('\n'));
}

async function tooLate({ name, at, admin }: Server, timeoutMs: number): Promise<string> {
  const denied = await deniedInWorker(admin);
  const why = denied
    ? `Its apply worker fails: ${denied.words}.`
    : 'Its log says why the apply worker does not get on.';
  return `${name} (${at}): a heartbeat written on the primary did not arrive within ${timeoutMs} ms. ${why}`;
}

interface CopyState {
  /** The subscription is another than the one whose changes the log has: what its copy brought along is in no log. */
  isOfAnother: boolean;
  seen: Lsn;
  completeSince: Lsn;
  /** Where the copy of the table that was copied last ended. */
  copiedTo: Lsn;
}

/**
 * Every table of every replica is copied, and a later transaction applied. While one was, its replica skipped the
 * transactions that the copy holds, and another replica, with a copy of another moment, may have logged them: a position
 * of one log is good in another from where all replicas are past their copies. A log that is new holds nothing certain
 * before that.
 */
async function noteCompleteness(replicas: Server[]): Promise<void> {
  for (const { admin } of replicas) if ((await readState(admin)).isOfAnother) await startLogAnew(admin);
  const states = await Promise.all(replicas.map(({ admin }) => readState(admin)));
  const copiedTo = states.map((state) => state.copiedTo).reduce(later);
  if (states.every(({ completeSince }) => completeSince >= copiedTo && completeSince < NOT_COMPLETE)) return;
  const since = states.map(({ seen }) => seen).reduce(later);
  await Promise.all(replicas.map(({ admin }) => noteOn(admin, since)));
}

/** A set-up that was cut short is found by this, too: the next one sees copies later than what is noted. */
async function readState(replica: Sql): Promise<CopyState> {
  const [state] = await replica<[Omit<CopyState, 'copiedTo'>]>`
    select complete_since, coalesce(readback.seen(), '0/0') as seen,
      complete_since < ${replica.typed.lsn(NOT_COMPLETE)} and subscription is distinct from ${ownSubscription(replica)} as is_of_another
    from readback.log_state`;
  const copied = (await subscribedTables(replica)).map(({ copiedTo }) => copiedTo ?? 0n);
  return { ...state, copiedTo: copied.reduce(later, 0n) };
}

async function noteOn(replica: Sql, position: Lsn): Promise<void> {
  const since = replica.typed.lsn(position);
  await replica.begin((sql) => [
    sql`update readback.log_state set pruned_to = ${since} where complete_since = ${replica.typed.lsn(NOT_COMPLETE)}`,
    sql`delete from readback.change_log where after_lsn < (select pruned_to from readback.log_state)`,
    sql`update readback.log_state set complete_since = ${since}, subscription = ${ownSubscription(replica)}`,
  ]);
}

const POLL_MS = 50;
const REPORT_EVERY_MS = 1000;

/**
 * Waits until every table of every replica is copied, saying once a second how far each is. Bounded by timeoutMs.
 * @throws SetupError where it takes longer.
 */
async function awaitInitialCopy(primary: Server, replicas: Server[], timeoutMs: number, say: Say): Promise<void> {
  const totals = await estimatedRows(primary.admin, await publishedTables(primary.admin));
  await Promise.all(replicas.map((replica) => awaitCopy(replica, totals, timeoutMs, say)));
}

type Totals = Map<string, number>;

async function awaitCopy(replica: Server, totals: Totals, timeoutMs: number, say: Say): Promise<void> {
  const started = Date.now();
  let reported = started;
  for (;;) {
    const copying = (await subscribedTables(replica.admin)).filter(({ isReady }) => !isReady);
    if (copying.length === 0) return;
    const errors = (await subscriptionOf(replica.admin))?.syncErrors ?? 0;
    const soFar = errors > 0 ? ` (failed ${errors} times: the replica's log says why)` : '';
    if (Date.now() - started > timeoutMs) throw new SetupError(tooLong(replica, copying, timeoutMs, soFar));
    if (Date.now() - reported >= REPORT_EVERY_MS) {
      for (const copy of copying) say(`${replica.name}: ${describe(copy, totals)}${soFar}`);
      reported = Date.now();
    }
    await sleep(POLL_MS);
  }
}

/** `copying items, 812,000 of about 1,000,000 rows (81 %)` */
function describe({ table, rows }: SubscribedTable, totals: Totals): string {
  const name = table.replace(/^public\./, '');
  if (rows === null) return `copying ${name}, waiting`;
  const total = totals.get(table);
  if (!total) return `copying ${name}, ${grouped(rows)} rows so far`;
  const percent = Math.min(99, Math.floor((rows / total) * 100));
  return `copying ${name}, ${grouped(rows)} of about ${grouped(total)} rows (${percent} %)`;
}

const grouped = (count: number) => count.toLocaleString('en');

function tooLong({ name, at }: Server, copying: SubscribedTable[], timeoutMs: number, soFar: string): string {
  const tables = copying.map(({ table }) => table.replace(/^public\./, '')).join(', ');
  return (
    `${name} (${at}): the initial copy of ${tables} did not end within ${timeoutMs} ms${soFar}. ` +
    'Start again to go on waiting, or set INITIAL_COPY_TIMEOUT_MS to more.'
  );
}

/** Writes the heartbeat row; what a replica has applied beyond the returned position came after everything before. */
export async function beat({ admin }: Server): Promise<Lsn> {
  await admin`update readback.heartbeat set beat_at = clock_timestamp()`;
  return flushedOn(admin);
}

/** Waits for the replica to apply what the primary wrote up to `target`, no longer than `timeoutMs`. */
export async function arrival(
  { admin }: Server,
  target: Lsn,
  timeoutMs: number,
): Promise<'arrived' | 'disabled' | 'late'> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(10)) {
    const [state] = await admin<
      [{ applied: Lsn | null; enabled: boolean | null }]
    >`select applied, enabled from readback.position()`;
    if (!state.enabled) return 'disabled';
    if (state.applied !== null && state.applied >= target) return 'arrived';
    if (Date.now() > deadline) return 'late';
  }
}
