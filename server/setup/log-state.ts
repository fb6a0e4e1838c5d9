import type { Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import { arrival, beat } from './beat.ts';
import { awaitInitialCopy } from './copy.ts';
import type { Server } from './requirements.ts';

const FIRST_BEAT_TIMEOUT_MS = 30_000;

/** All is set up, and a replica does not apply what the primary sends. */
export class NothingArrives extends SetupError {}

/** The default of complete_since: set-up has not ended. */
const NOT_SET_UP = 0xffff_ffff_ffff_ffffn;

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
  say: (line: string) => void,
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
  if (late.length > 0) throw new NothingArrives(late.map((replica) => tooLate(replica, timeoutMs)).join('\n'));
}

const tooLate = ({ name, at }: Server, timeoutMs: number) =>
  `${name} (${at}): a heartbeat written on the primary did not arrive within ${timeoutMs} ms. Its log says why the apply worker does not get on.`;

interface LogState {
  seen: Lsn;
  completeSince: Lsn;
  /** Where the copy of the table that was copied last ended. */
  copiedTo: Lsn;
}

/**
 * Every table of every replica is copied, and a later transaction applied. While one was, its replica skipped the transactions that the
 * copy holds, and another replica, with a copy of another moment, may have logged them: a position of one log is good in
 * another from where all replicas are past their copies. A log that is new holds nothing certain before that.
 */
async function noteCompleteness(replicas: Server[]): Promise<void> {
  const states = await Promise.all(replicas.map(({ admin }) => readState(admin)));
  const copiedTo = states.map((state) => state.copiedTo).reduce(later);
  if (states.every(({ completeSince }) => completeSince >= copiedTo && completeSince < NOT_SET_UP)) return;
  const since = states.map(({ seen }) => seen).reduce(later);
  await Promise.all(replicas.map(({ admin }) => noteOn(admin, since)));
}

/** A set-up that was cut short is found by this, too: the next one sees copies later than what is noted. */
async function readState(replica: Sql): Promise<LogState> {
  const [state] = await replica<[LogState]>`
    select complete_since, coalesce(readback.seen(), '0/0') as seen, (
      select coalesce(max(r.srsublsn), '0/0') from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid
      where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())
    ) as copied_to from readback.log_state`;
  return state;
}

async function noteOn(replica: Sql, position: Lsn): Promise<void> {
  const since = replica.typed.lsn(position);
  await replica.begin((sql) => [
    sql`update readback.log_state set pruned_to = ${since} where complete_since = ${replica.typed.lsn(NOT_SET_UP)}`,
    sql`delete from readback.change_log where after_lsn < (select pruned_to from readback.log_state)`,
    sql`update readback.log_state set complete_since = ${since}`,
  ]);
}
