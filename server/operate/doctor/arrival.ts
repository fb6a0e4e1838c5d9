import { withConnection, type Sql } from '../../database/connect.ts';
import { appliedOn, flushedOn } from '../../database/sql/positions.ts';
import {
  conninfoOf,
  subscriptionOf,
  type SubscribedTable,
  type Subscription,
} from '../../database/sql/subscriptions.ts';
import { wordsOf } from '../../lib/complaints.ts';
import { bytesBetween } from '../../lib/lsn.ts';
import { parse, toUrl, type Conninfo } from '../../setup/conninfo.ts';
import { arrival, beat } from '../../setup/log-state.ts';
import { mayStream } from '../../setup/logins.ts';
import { renewConnection } from '../../setup/replicate.ts';
import type { Server } from '../../setup/servers.ts';
import { replicationUrl, subscribingAs } from '../../setup/setup.ts';
import { kind, type Finding, type Repair } from './finding.ts';

/** What became of a heartbeat written on the primary. */
export interface Probe {
  outcome: 'arrived' | 'late' | 'disabled';
  waitedMs: number;
  /** Failures that the statistics tell of, since they were last reset: whether one is of now, the heartbeat tells. */
  applyErrors: number;
  syncErrors: number;
  /** The apply worker, where it runs. */
  worker: { pid: number; blockers: string[] } | null;
  lagBytes: number | null;
}

/** How the replica reaches the primary. */
export interface ConnectionFacts {
  /** The login and address that it connects with; null: not ours to see. */
  connectsAs: { user: string; address: string } | null;
  /** Why the same connection cannot be made from here; null: it can, or it was not tried. */
  refused: string | null;
}

export async function lookAtConnection(replica: Sql, timeoutMs: number): Promise<ConnectionFacts> {
  const conninfo = await conninfoOf(replica);
  if (conninfo === undefined) return { connectsAs: null, refused: null };
  const parsed = parse(conninfo);
  const { user = '', host = '', port = '5432' } = parsed;
  return { connectsAs: { user, address: `${host}:${port}` }, refused: await refusal(parsed, timeoutMs) };
}

/**
 * The same connection, made from here: an address may lead elsewhere from the replica, but a password that is wrong or a
 * login that is gone is so from everywhere.
 */
async function refusal(conninfo: Conninfo, timeoutMs: number): Promise<string | null> {
  const options = { connectTimeoutMs: timeoutMs, applicationName: 'readback doctor' };
  try {
    return await withConnection(toUrl(conninfo), options, async (sql) => {
      const [row] = await sql<[{ may: boolean }]>`
        select ${mayStream(sql)} as may from pg_roles u where rolname = session_user`;
      return row.may ? null : 'the login may connect, and not replicate';
    });
  } catch (error) {
    return wordsOf(error);
  }
}

/**
 * Writes a heartbeat on the primary and waits for it on the replica: whatever stands between the two, known to these
 * checks or not, shows as one that is late.
 */
export async function probe(primary: Server, replica: Server, waitMs: number): Promise<Probe> {
  const started = performance.now();
  const outcome = await arrival(replica, await beat(primary), waitMs);
  const waitedMs = performance.now() - started;
  const applied = await appliedOn(replica.admin);
  const flushed = await flushedOn(primary.admin);
  const subscription = await subscriptionOf(replica.admin);
  return {
    outcome,
    waitedMs,
    applyErrors: subscription?.applyErrors ?? 0,
    syncErrors: subscription?.syncErrors ?? 0,
    worker: subscription?.worker == null ? null : await workerOf(replica.admin, subscription.worker),
    lagBytes: applied === null ? null : bytesBetween(applied, flushed),
  };
}

async function workerOf(replica: Sql, pid: number): Promise<NonNullable<Probe['worker']>> {
  const rows = await replica<{ who: string }[]>`
    select format('process %s, %s of %s', pid, nullif(application_name, ''), usename) as who
    from pg_stat_activity where pid = any(pg_blocking_pids(${pid}))`;
  return { pid, blockers: rows.map(({ who }) => who) };
}

/** Why it is late, from the most certain reason to the least. */
export function checkArrival(
  server: string,
  subscription: Subscription & ConnectionFacts,
  { probe: probed, subscribed }: { probe?: Probe; subscribed: SubscribedTable[] },
  isCauseKnown: boolean,
): Finding[] {
  if (!subscription.isEnabled || probed?.outcome !== 'late') return [];
  const { worker, applyErrors } = probed;
  if (subscription.refused !== null) return [cannotConnect(server, subscription)];
  if (worker && worker.blockers.length > 0) return [blocked(server, worker.blockers)];
  // A setting that is named: once that is as it should be, what waits is applied.
  if (isCauseKnown) return [];
  if (applyErrors > 0) return [failing(server, applyErrors, counted(subscription, EXISTS))];
  if (!worker) return [cannotConnect(server, subscription)];
  return subscribed.every(({ isReady }) => isReady) ? [behind(server, probed)] : [];
}

/** What arrived for rows that are not there. */
export function checkConflicts(server: string, subscription: Subscription): Finding[] {
  const missed = counted(subscription, ['update_missing', 'delete_missing']);
  return missed === '' ? [] : [rowsMissed(server, missed)];
}

const EXISTS = ['insert_exists', 'update_exists', 'multiple_unique_conflicts'];

const counted = ({ conflicts }: Subscription, names: string[]) =>
  names
    .filter((name) => conflicts[name])
    .map((name) => `${name} ${conflicts[name]}`)
    .join(', ');

export const renewLogin: Repair = {
  name: 'renew-login',
  does: () => 'give its subscription a login with a new password, and the address of the primary that is configured',
  run: (replica, { servers: { primary }, databases, config }) =>
    renewConnection({ primary, replica, ...subscribingAs(config) }, replicationUrl(databases)),
  isOfSubscription: true,
};

const cannotConnect = kind('cannot-connect', ({ connectsAs, refused, slot }: Subscription & ConnectionFacts) => {
  const { user, address } = connectsAs ?? { user: 'its login', address: 'its address' };
  return {
    found: `it cannot connect to the primary as ${user} at ${address}${refused === null ? ', though that works from here' : `: ${refused}`}`,
    expected: 'an apply worker that streams',
    remedy:
      refused === null
        ? "The replica's log says why. If it reaches the primary by another address, set PRIMARY_REPLICATION_URL to it and run readback migrate."
        : 'Correct what the subscription connects with: readback doctor --fix gives it a new login and the configured address.',
    // A login that set-up made, which is named like the slot.
    ...(refused !== null && user === slot && { fix: renewLogin }),
  };
});

const blocked = kind('apply-blocked', (blockers: string[]) => ({
  found: `the apply worker waits for a lock that is held by ${blockers.join('; ')}`,
  expected: 'nobody locks the tables of a replica for long',
  remedy: 'End that transaction: select pg_terminate_backend(…);',
}));

const failing = kind('apply-failing', (times: number, exists: string) => ({
  found: `the apply worker fails over and over, ${times} times so far${exists === '' ? '' : `: a row that arrives is there already (${exists}), so somebody wrote on the replica`}`,
  expected: 'every change can be applied',
  remedy:
    "The replica's log names the row and the position of the transaction. A row that is there already: delete it there, and the worker goes on by itself. " +
    'Otherwise skip the transaction (alter subscription readback skip (lsn = …)) and run readback verify, or copy everything again (readback replica drop, readback migrate).',
}));

const behind = kind('behind', ({ lagBytes, waitedMs }: Probe) => ({
  severity: 'warning',
  found: `a heartbeat did not arrive within ${Math.round(waitedMs)} ms${lagBytes === null ? '' : `, it is ${lagBytes} bytes behind`}`,
  expected: 'a replica that keeps up',
  remedy:
    'It may be applying a big transaction: look again. If it stays so, look at its disk and CPU, and at indexes and triggers on its tables.',
}));

const rowsMissed = kind('rows-missed', (missed: string) => ({
  severity: 'warning',
  found: `changes arrived for rows that are not there: ${missed}`,
  expected: 'every row of the primary',
  remedy:
    'Somebody deleted on the replica: readback verify names the rows. Afterwards: select pg_stat_reset_subscription_stats(oid) from pg_subscription;',
}));
