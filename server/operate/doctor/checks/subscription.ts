import { formatLsn } from '../../../lib/lsn.ts';
import type { Facts, PrimaryFacts, Probe, ReplicaDetails, ReplicaFacts, SubscriptionFacts } from '../facts.ts';
import { unlikeTexts } from '../../../setup/texts.ts';
import type { Finding } from '../finding.ts';
import { causesOf } from './causes.ts';

/** How a replica takes what the primary sends, and whether it arrives. */
export function checkSubscriptions({ primary, replicas }: Facts): Finding[] {
  const published = primary.details?.published.map(({ table }) => table) ?? [];
  return replicas.flatMap((replica) =>
    checkOne(replica, published, causesOf(replica, primary), isOfOtherTexts(replica, primary), readableSlots(primary)),
  );
}

/** A character that it does not have may be what the worker fails at: that is told with the servers. */
const isOfOtherTexts = ({ texts }: ReplicaFacts, { texts: primary }: PrimaryFacts) =>
  texts !== undefined && primary !== undefined && unlikeTexts(primary, texts).some(({ stops }) => stops);

/** Undefined where the primary could not be asked. Without the publication, versions before 18 let nobody read. */
function readableSlots({ details }: PrimaryFacts): string[] | undefined {
  if (details?.publication === null) return [];
  return details?.slots.filter(({ walStatus }) => walStatus !== 'lost').map(({ name }) => name);
}

function checkOne(
  { name, basics, details }: ReplicaFacts,
  published: string[],
  causes: Finding[],
  hasOtherTexts: boolean,
  slots?: string[],
): Finding[] {
  if (basics && !basics.isSetUp) return [notSetUp(name)];
  if (!details) return [];
  const { subscription, others } = details;
  const strangers = others.map((other) => otherSubscription(name, other));
  if (!subscription) return [missing(name), ...strangers];
  return [
    ...checkSettings(name, subscription),
    ...causes,
    ...checkCommit(name, subscription, details),
    ...strangers,
    ...checkTables(name, details, published),
    // Without its slot or the publication nothing arrives, and its worker comes and goes: that is told already.
    ...(subscription.isEnabled && details.probe && slots?.includes(subscription.slot ?? '') !== false
      ? checkArrival(name, subscription, details.probe, details, causes.length > 0 || hasOtherTexts)
      : []),
    ...checkConflicts(name, subscription),
  ];
}

const notSetUp = (server: string): Finding => ({
  check: 'not-set-up',
  severity: 'error',
  server,
  found: 'nothing of Readback is in this database',
  expected: 'the schema readback and what set-up makes there',
  remedy: 'Run: readback migrate',
});

const missing = (server: string): Finding => ({
  check: 'subscription-missing',
  severity: 'error',
  server,
  found: 'there is no subscription readback',
  expected: 'one to the primary',
  remedy: 'Run readback doctor --fix or readback migrate, which empty its tables and copy them again.',
  fix: { name: 'copy-again', server },
});

const otherSubscription = (server: string, name: string): Finding => ({
  check: 'other-subscription',
  severity: 'error',
  server,
  found: `another subscription, ${name}, writes into this database`,
  expected: 'readback alone: changes of two subscriptions have no common order',
  remedy: `Run there: drop subscription ${name}; or give it a database of its own.`,
});

function checkSettings(server: string, { isEnabled, streaming, publications }: SubscriptionFacts): Finding[] {
  const findings: Finding[] = [];
  if (!isEnabled) {
    findings.push({
      check: 'subscription-disabled',
      severity: 'error',
      server,
      found: 'the subscription is disabled',
      expected: 'an enabled one: nothing new arrives, and its slot holds all WAL back',
      remedy: 'Run there: alter subscription readback enable;',
      fix: { name: 'enable-subscription', server },
    });
  }
  if (streaming === 'p') {
    findings.push({
      check: 'streaming-parallel',
      severity: 'error',
      server,
      found: 'streaming = parallel',
      expected: 'streaming = on: several workers apply out of commit order',
      remedy: 'Run there: alter subscription readback set (streaming = on);',
      fix: { name: 'stop-parallel', server },
    });
  }
  if (publications.join() !== 'readback') {
    findings.push({
      check: 'subscription-publication',
      severity: 'error',
      server,
      found: `it takes the publications ${publications.join(', ')}`,
      expected: 'readback alone',
      remedy: 'Run there: alter subscription readback set publication readback;',
    });
  }
  return findings;
}

/** Whether what it confirms is on its disk, and whether something is gone already that was not. */
function checkCommit(server: string, { commit }: SubscriptionFacts, { mayLose, missing }: ReplicaDetails): Finding[] {
  const findings: Finding[] = [];
  if (missing !== null) {
    findings.push({
      check: 'transactions-lost',
      severity: 'error',
      server,
      found: `the transaction that ended at ${formatLsn(missing)} was here, and is gone: a crash took it after it was confirmed`,
      expected: 'everything that was seen here; the primary does not send it again',
      remedy: 'Run readback doctor --fix, which copies the replica again. Its synchronous_commit should be local.',
      fix: { name: 'copy-again', server },
    });
  }
  if (commit === 'off') {
    findings.push({
      check: 'asynchronous-commit',
      severity: mayLose ? 'advice' : 'error',
      server,
      found:
        'synchronous_commit of the subscription is off: a crash right after a restart of the apply worker may take transactions that it has confirmed, and the primary does not send them again',
      expected: 'synchronous_commit = local: what is confirmed is on the disk',
      remedy: mayLose
        ? 'It was chosen with REPLICA_SYNCHRONOUS_COMMIT=off. Set that to local and run readback migrate where nothing may be lost.'
        : 'Run there: alter subscription readback set (synchronous_commit = local); then readback verify.',
      ...(!mayLose && { fix: { name: 'commit-locally', server } }),
    });
  }
  return findings;
}

function checkTables(server: string, { subscribed, probe }: ReplicaDetails, published: string[]): Finding[] {
  const known = new Set(subscribed.map(({ table }) => table));
  const unknown = published.filter((table) => !known.has(table));
  const copying = subscribed.filter(({ isReady }) => !isReady);
  const fails = (probe?.syncErrors ?? 0) > 0;
  return [
    ...unknown.map((table): Finding => ({
      check: 'table-not-subscribed',
      severity: 'error',
      server,
      found: `${table} is published, and the subscription does not take it`,
      expected: 'every published table',
      remedy: 'Run readback doctor --fix or readback migrate, which empty the table here and copy it.',
      fix: { name: 'refresh-publication', server },
    })),
    ...copying.map(({ table, rows }) =>
      fails ? stuck(server, table, probe!.syncErrors) : copyingNow(server, table, rows),
    ),
  ];
}

const stuck = (server: string, table: string, errors: number): Finding => ({
  check: 'copy-stuck',
  severity: 'error',
  server,
  found: `${table} is not copied: it failed ${errors} times`,
  expected: 'a copy that ends',
  remedy: `The replica's log says why. Rows that are there already are the usual reason: empty the table there (truncate ${table};), and it is tried again by itself.`,
});

const copyingNow = (server: string, table: string, rows: number | null): Finding => ({
  check: 'copying',
  severity: 'warning',
  server,
  found: `${table} is being copied, ${rows === null ? 'and waits: for a worker, or for open transactions of the primary to end' : `${rows} rows so far`}`,
  expected: 'tables that are copied: until then the replica answers no reads',
  remedy: 'Wait; readback migrate tells how far it is.',
});

/** From the most certain reason to the least. */
function checkArrival(
  server: string,
  subscription: SubscriptionFacts,
  probe: Probe,
  details: ReplicaDetails,
  isCauseKnown: boolean,
): Finding[] {
  if (probe.outcome !== 'late') return [];
  if (subscription.refused !== null) return [cannotConnect(server, subscription)];
  if (probe.worker && probe.worker.blockers.length > 0) return [blocked(server, probe.worker.blockers)];
  // A setting that is named: once that is as it should be, what waits is applied.
  if (isCauseKnown) return [];
  if (probe.applyErrors > 0) return [failing(server, probe, subscription)];
  if (!probe.worker) return [cannotConnect(server, subscription)];
  return details.subscribed.every(({ isReady }) => isReady) ? [behind(server, probe)] : [];
}

function cannotConnect(server: string, { connectsAs, refused, slot }: SubscriptionFacts): Finding {
  const { user, address } = connectsAs ?? { user: 'its login', address: 'its address' };
  const isOurs = user === slot;
  return {
    check: 'cannot-connect',
    severity: 'error',
    server,
    found: `it cannot connect to the primary as ${user} at ${address}${refused === null ? ', though that works from here' : `: ${refused}`}`,
    expected: 'an apply worker that streams',
    remedy:
      refused === null
        ? "The replica's log says why. If it reaches the primary by another address, set PRIMARY_REPLICATION_URL to it and run readback migrate."
        : 'Correct what the subscription connects with: readback doctor --fix gives it a new login and the configured address.',
    ...(refused !== null && isOurs && { fix: { name: 'renew-login', server } }),
  };
}

const failing = (server: string, { applyErrors }: Probe, { conflicts }: SubscriptionFacts): Finding => ({
  check: 'apply-failing',
  severity: 'error',
  server,
  found: `the apply worker fails over and over, ${applyErrors} times so far${conflictHint(conflicts)}`,
  expected: 'every change can be applied',
  remedy:
    "The replica's log names the row and the position of the transaction. A row that is there already: delete it there, and the worker goes on by itself. " +
    'Otherwise skip the transaction (alter subscription readback skip (lsn = …)) and run readback verify, or copy everything again (readback replica drop, readback migrate).',
});

const EXISTS = ['insert_exists', 'update_exists', 'multiple_unique_conflicts'];

function conflictHint(conflicts: Record<string, number>): string {
  const seen = EXISTS.filter((name) => conflicts[name]);
  if (seen.length === 0) return '';
  return `: a row that arrives is there already (${seen.map((name) => `${name} ${conflicts[name]}`).join(', ')}), so somebody wrote on the replica`;
}

const blocked = (server: string, blockers: string[]): Finding => ({
  check: 'apply-blocked',
  severity: 'error',
  server,
  found: `the apply worker waits for a lock that is held by ${blockers.join('; ')}`,
  expected: 'nobody locks the tables of a replica for long',
  remedy: 'End that transaction: select pg_terminate_backend(…);',
});

const behind = (server: string, { lagBytes, waitedMs }: Probe): Finding => ({
  check: 'behind',
  severity: 'warning',
  server,
  found: `a heartbeat did not arrive within ${Math.round(waitedMs)} ms${lagBytes === null ? '' : `, it is ${lagBytes} bytes behind`}`,
  expected: 'a replica that keeps up',
  remedy:
    'It may be applying a big transaction: look again. If it stays so, look at its disk and CPU, and at indexes and triggers on its tables.',
});

const MISSED = ['update_missing', 'delete_missing'];

function checkConflicts(server: string, { conflicts }: SubscriptionFacts): Finding[] {
  const missed = MISSED.filter((name) => conflicts[name]);
  if (missed.length === 0) return [];
  return [
    {
      check: 'rows-missed',
      severity: 'warning',
      server,
      found: `changes arrived for rows that are not there: ${missed.map((name) => `${name} ${conflicts[name]}`).join(', ')}`,
      expected: 'every row of the primary',
      remedy:
        'Somebody deleted on the replica: readback verify names the rows. Afterwards: select pg_stat_reset_subscription_stats(oid) from pg_subscription;',
    },
  ];
}
