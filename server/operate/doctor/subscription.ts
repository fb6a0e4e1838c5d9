import type { Sql } from '../../database/connect.ts';
import {
  otherSubscriptions,
  subscribedTables,
  subscriptionOf,
  type SubscribedTable,
  type Subscription,
} from '../../database/sql/subscriptions.ts';
import { deniedInWorker, type Denied } from '../../database/sql/denied.ts';
import { formatLsn, type Lsn } from '../../lib/lsn.ts';
import { toGrant, type Provider } from '../../setup/providers.ts';
import { setInDatabase } from '../../setup/logins.ts';
import { obstacles } from '../../setup/obstacles.ts';
import { onePhase, setCommit } from '../../setup/replicate.ts';
import { tablesOf, type TableShape } from '../../setup/shapes.ts';
import { identitiesOf, readOnlyOn, whatIsReadOnly, type ReplicaIdentity, type ReadOnly } from '../../setup/stops.ts';
import { unlikeTexts } from '../../setup/texts.ts';
import { attach, dropSlot, dropSubscription } from '../attach.ts';
import { checkArrival, checkConflicts, lookAtConnection, type ConnectionFacts, type Probe } from './arrival.ts';
import { kind, type Finding, type Repair } from './finding.ts';
import { checkIdentities } from './identity.ts';
import type { Looked, ServerFacts } from './servers.ts';

/** How a replica takes what the primary sends. */
export interface SubscriptionFacts {
  subscription: (Subscription & ConnectionFacts) | null;
  /** Other subscriptions of the same database. */
  others: string[];
  subscribed: SubscribedTable[];
  /** Set-up was told that synchronous_commit may be off. */
  mayLose: boolean;
  /** The end of a transaction that was seen here, and is not here any more; null: none is known. */
  missing: Lsn | null;
  readOnly: ReadOnly | null;
  identities: ReplicaIdentity[];
  denied: Denied | null;
  /** Only where a heartbeat could be sent. */
  probe?: Probe;
}

/** What is known of the primary that replicas subscribe to. */
interface Sending {
  publication: object | null;
  published: TableShape[];
  identities: ReplicaIdentity[];
  slots: { name: string; walStatus: string | null }[];
}

export async function lookAtSubscription(sql: Sql, published: string[], timeoutMs: number): Promise<SubscriptionFacts> {
  const subscription = await subscriptionOf(sql);
  const [log] = await sql<[{ mayLose: boolean }?]>`
    select coalesce((to_jsonb(l) ->> 'may_lose')::boolean, false) as may_lose from readback.log_state l`;
  return {
    subscription: subscription && { ...subscription, ...(await lookAtConnection(sql, timeoutMs)) },
    others: await otherSubscriptions(sql),
    subscribed: await subscribedTables(sql),
    mayLose: log?.mayLose ?? false,
    missing: null,
    readOnly: await readOnlyOn(sql),
    identities: await identitiesOf(sql, published),
    denied: await deniedInWorker(sql),
  };
}

export function checkSubscription(
  primary: Looked<Sending>,
  replica: Looked<SubscriptionFacts & { shapes: TableShape[] }>,
): Finding[] {
  const { name, details } = replica;
  if (!details) return [];
  const { subscription, others, identities, readOnly, denied, missing, mayLose } = details;
  const strangers = others.map((other) => stranger(name, other));
  if (!subscription) return [noSubscription(name), ...strangers];
  // Each has a remedy of its own, after which what waits is applied: nothing is skipped, and nothing is copied again.
  const causes = [
    ...(subscription.twoPhase ? [twoPhase(name, [primary, replica].every(canAlterPhase))] : []),
    ...(subscription.binary ? [BINARY.found(name)] : []),
    ...(subscription.origin === 'none' ? [ORIGIN.found(name)] : []),
    ...(readOnly ? [cannotWrite(name, readOnly)] : []),
    ...(denied ? [mayNot(name, denied, replica.basics?.provider ?? null)] : []),
    ...checkIdentities(primary, name, identities),
  ];
  // A character that the replica does not have may be what the worker fails at, too: that is told with the servers. So
  // may a table that does not fit, which is told with the tables: to skip a transaction there would lose it for nothing.
  const isMisfit = obstacles(primary.details?.published ?? [], details.shapes).length > 0;
  const isCauseKnown = causes.length > 0 || isMisfit || stopsAtTexts(primary, replica);
  return [
    ...(subscription.isEnabled ? [] : [disabled(name)]),
    ...(subscription.streaming === 'parallel' ? [PARALLEL.found(name)] : []),
    ...(subscription.publications.join() === 'readback' ? [] : [otherPublications(name, subscription.publications)]),
    ...causes,
    ...(missing === null ? [] : [lost(name, missing)]),
    ...(subscription.commit === 'off' ? [asynchronous(name, mayLose)] : []),
    ...strangers,
    ...checkTables(name, details, tablesOf(primary.details?.published ?? [])),
    // Without its slot or the publication nothing arrives, and its worker comes and goes: that is told already.
    ...(isReadable(subscription, primary.details) ? checkArrival(name, subscription, details, isCauseKnown) : []),
    ...checkConflicts(name, subscription),
  ];
}

const canAlterPhase = ({ basics }: ServerFacts) => (basics?.version ?? 0) >= 180_000;

const stopsAtTexts = ({ texts: primary }: ServerFacts, { texts }: ServerFacts): boolean =>
  primary !== undefined && texts !== undefined && unlikeTexts(primary, texts).some(({ stops }) => stops);

/** True where the primary could not be asked. Without the publication, versions before 18 let nobody read. */
function isReadable({ slot: wanted }: Subscription, primary: Sending | undefined): boolean {
  if (!primary) return true;
  return (
    primary.publication !== null && primary.slots.some(({ name, walStatus }) => name === wanted && walStatus !== 'lost')
  );
}

function checkTables(server: string, { subscribed, probe }: SubscriptionFacts, published: string[]): Finding[] {
  const known = new Set(tablesOf(subscribed));
  const fails = probe?.syncErrors ?? 0;
  return [
    ...published.filter((table) => !known.has(table)).map((table) => notTaken(server, table)),
    ...subscribed
      .filter(({ isReady }) => !isReady)
      .map(({ table, rows }) => (fails > 0 ? stuck(server, table, fails) : copying(server, table, rows))),
  ];
}

export const copyAgain: Repair = {
  name: 'copy-again',
  does: () =>
    'drop its subscription and slot, empty its tables, subscribe and copy everything again: it answers no reads until then, and its cursors expire',
  run: async (replica, context) => {
    const slot = await dropSubscription(replica);
    if (slot !== undefined) await dropSlot(context.servers.primary, slot);
    await attach(replica, context);
  },
};

/** An option that is set back without loss. */
function option(check: string, repair: string, found: string, wanted: string, reason: string, then = '') {
  const setBack: Repair = {
    name: repair,
    does: () => `set its ${wanted.replace(' =', ' to')}`,
    run: ({ admin }) => admin.unsafe(`alter subscription readback set (${wanted})`),
    isOfSubscription: true,
  };
  const words = {
    found,
    expected: `${wanted}: ${reason}`,
    remedy: `Run there: alter subscription readback set (${wanted});${then}`,
    fix: setBack,
  };
  return { setBack, found: kind(check, () => words) };
}

const PARALLEL = option(
  'streaming-parallel',
  'stop-parallel',
  'streaming = parallel',
  'streaming = on',
  'several workers apply out of commit order',
);
const BINARY = option(
  'binary',
  'send-text',
  'binary = true of the subscription',
  'binary = false',
  'else types that differ cannot be read',
);
const ORIGIN = option(
  'origin',
  'any-origin',
  'origin = none of the subscription',
  'origin = any',
  'else what the primary itself gets by replication is left out',
  ' then readback verify, for what was left out.',
);

const enable: Repair = {
  name: 'enable-subscription',
  does: () => 'enable the subscription',
  run: ({ admin }) => admin`alter subscription readback enable`,
  isOfSubscription: true,
};

/** What is set without a wait for the worker. */
export const SETTINGS: Repair[] = [enable, PARALLEL.setBack, BINARY.setBack, ORIGIN.setBack];

export const inOnePhase: Repair = {
  name: 'one-phase',
  does: () => 'set its two_phase to false: it stands still for a moment, and applies what waits then',
  run: onePhase,
  isOfSubscription: true,
};

export const commitLocally: Repair = {
  name: 'commit-locally',
  does: () => 'set its synchronous_commit to local',
  run: (replica) => setCommit(replica, 'local'),
  isOfSubscription: true,
};

export const takePublished: Repair = {
  name: 'refresh-publication',
  does: () => 'take what is published since: empty those tables on the replica and copy them',
  run: attach,
  isOfSubscription: true,
};

export const letWrite: Repair = {
  name: 'let-write',
  does: () => 'let the login that its apply worker runs as write in this database, and nobody else',
  run: async ({ admin }) => {
    const found = await readOnlyOn(admin);
    if (found) await setInDatabase(admin, found.owner, 'default_transaction_read_only', 'off');
  },
};

const noSubscription = kind('subscription-missing', () => ({
  found: 'there is no subscription readback',
  expected: 'one to the primary',
  remedy: 'Run readback doctor --fix or readback migrate, which empty its tables and copy them again.',
  fix: copyAgain,
}));

const stranger = kind('other-subscription', (name: string) => ({
  found: `another subscription, ${name}, writes into this database`,
  expected: 'readback alone: changes of two subscriptions have no common order',
  remedy: `Run there: drop subscription ${name}; or give it a database of its own.`,
}));

const disabled = kind('subscription-disabled', () => ({
  found: 'the subscription is disabled',
  expected: 'an enabled one: nothing new arrives, and its slot holds all WAL back',
  remedy: 'Run there: alter subscription readback enable;',
  fix: enable,
}));

const otherPublications = kind('subscription-publication', (publications: string[]) => ({
  found: `it takes the publications ${publications.join(', ')}`,
  expected: 'readback alone',
  remedy: 'Run there: alter subscription readback set publication readback;',
}));

const twoPhase = kind('two-phase', (canAlter: boolean) => ({
  found:
    'two_phase of the subscription is on: a transaction that is prepared on the primary cannot be applied, as triggers here notify',
  expected: 'two_phase = false: such a transaction is sent as it is committed',
  remedy: canAlter
    ? 'Run there: alter subscription readback disable; alter subscription readback set (two_phase = false); alter subscription readback enable; what waits is applied then.'
    : 'Before PostgreSQL 18 it cannot be changed: run readback doctor --fix, which copies the replica again with a subscription that has it off.',
  fix: canAlter ? inOnePhase : copyAgain,
}));

const cannotWrite = kind('read-only', (readOnly: ReadOnly) => ({
  found: whatIsReadOnly(readOnly),
  expected: 'an apply worker that may write',
  remedy: `Take the setting back, or run there: alter role ${readOnly.owner} in database … set default_transaction_read_only = off; what waits is applied then. Others stay read-only.`,
  fix: letWrite,
}));

const mayNot = kind('apply-denied', ({ words, statement }: Denied, provider: Provider | null) => ({
  found: `its apply worker fails at each change: ${words}`,
  expected: 'an apply worker that may write each table, and call what the triggers of the change log call',
  remedy: `${toGrant(provider, statement)} What waits is applied then.`,
}));

const lost = kind('transactions-lost', (at: Lsn) => ({
  found: `the transaction that ended at ${formatLsn(at)} was here, and is gone: a crash took it after it was confirmed`,
  expected: 'everything that was seen here; the primary does not send it again',
  remedy: 'Run readback doctor --fix, which copies the replica again. Its synchronous_commit should be local.',
  fix: copyAgain,
}));

/** Whether what it confirms is on its disk. */
const asynchronous = kind('asynchronous-commit', (mayLose: boolean) => ({
  severity: mayLose ? 'advice' : 'error',
  found:
    'synchronous_commit of the subscription is off: a crash right after a restart of the apply worker may take transactions that it has confirmed, and the primary does not send them again',
  expected: 'synchronous_commit = local: what is confirmed is on the disk',
  remedy: mayLose
    ? 'It was chosen with REPLICA_SYNCHRONOUS_COMMIT=off. Set that to local and run readback migrate where nothing may be lost.'
    : 'Run there: alter subscription readback set (synchronous_commit = local); then readback verify.',
  ...(!mayLose && { fix: commitLocally }),
}));

const notTaken = kind('table-not-subscribed', (table: string) => ({
  found: `${table} is published, and the subscription does not take it`,
  expected: 'every published table',
  remedy: 'Run readback doctor --fix or readback migrate, which empty the table here and copy it.',
  fix: takePublished,
}));

const stuck = kind('copy-stuck', (table: string, errors: number) => ({
  found: `${table} is not copied: it failed ${errors} times`,
  expected: 'a copy that ends',
  remedy: `The replica's log says why. Rows that are there already are the usual reason: empty the table there (truncate ${table};), and it is tried again by itself.`,
}));

const copying = kind('copying', (table: string, rows: number | null) => ({
  severity: 'warning',
  found: `${table} is being copied, ${rows === null ? 'and waits: for a worker, or for open transactions of the primary to end' : `${rows} rows so far`}`,
  expected: 'tables that are copied: until then the replica answers no reads',
  remedy: 'Wait; readback migrate tells how far it is.',
}));
