import type { Config } from '../../boot/config.ts';
import type { Declaration } from '../../declare/declaration.ts';
import { driftsOf, tablesNow, viewFaults, type Drift } from '../../setup/drift.ts';
import { planOf, type Plan } from '../../setup/rights.ts';
import { changeInWords, changesCopied, partitionChanges, type PartitionChange } from '../../setup/partitions.ts';
import { hiddenFrom, identitiesOf, type ReplicaIdentity } from '../../setup/stops.ts';
import { tablesOf } from '../../setup/shapes.ts';
import type { OperatedServer, Servers } from '../../setup/servers.ts';
import type { SetupConfig } from '../../setup/setup.ts';
import type { Attaching } from '../attach.ts';
import { probe, renewLogin } from './arrival.ts';
import {
  checkFailover,
  keepOnStandbys,
  lookAtHistory,
  lookAtHosts,
  noteAhead,
  noteMissing,
  type HistoryFacts,
  type HostFacts,
} from './failover.ts';
import { bySeverity, kind, type Finding, type Fix, type Repair } from './finding.ts';
import { knowByKey } from './identity.ts';
import { checkLogins, grantRoles, lookAtLogins, type LoginFacts } from './logins.ts';
import { checkPoolers, lookAtPoolers, type PoolerFacts } from './poolers.ts';
import { checkPublication, goneFrom, lookAtPublication, type PublicationFacts } from './publication.ts';
import { checkServers, limitsOf, lookAtServer, type Looked, type ServerFacts } from './servers.ts';
import { checkSlots, dropOrphan, lookAtSlots, type SlotFacts } from './slots.ts';
import {
  checkSubscription,
  commitLocally,
  copyAgain,
  inOnePhase,
  letWrite,
  lookAtSubscription,
  SETTINGS,
  takePublished,
  type SubscriptionFacts,
} from './subscription.ts';
import { checkTables, completeLog, lookAtTables, ringAgain, watchAgain, type TableFacts } from './tables.ts';

/** What the doctor has asked the servers; the checks are pure functions of it. */
export interface Facts {
  primary: PrimaryFacts;
  replicas: ReplicaFacts[];
  /** How the replicas are to be subscribed. */
  plan: Plan;
}

export interface PrimaryFacts extends Looked<PrimaryDetails>, LoginFacts, PoolerFacts {
  /** Where PRIMARY_ADMIN_URL names several: each of them. */
  hosts?: HostFacts[];
}
export interface PrimaryDetails extends PublicationFacts, SlotFacts, HistoryFacts {
  identities: ReplicaIdentity[];
  /** What somebody has changed by other ways than migrations. */
  drifts: Drift[];
  /** What was done to partitions alone. */
  partitionChanges: PartitionChange[];
}

export interface ReplicaFacts extends Looked<ReplicaDetails>, LoginFacts, PoolerFacts {}
export interface ReplicaDetails extends SubscriptionFacts, TableFacts {
  aheadBytes?: number;
  /** The last of what was done to partitions alone that its copy has. */
  changesCopied: number;
  drifts: Drift[];
}

export interface DoctorOptions extends SetupConfig, Pick<Config, 'SLOT_ACTION'> {
  /** How long a heartbeat may take from the primary to a replica. */
  waitMs: number;
  /** A transaction of the primary that is open for longer is told. */
  longTransactionMs: number;
  /** A slot that holds more of the primary's WAL is told. */
  maxWalBytes: number;
  /** The project's tables. */
  declared: readonly Declaration[];
}

/** Everything that is wrong with the servers and what is between them, the worst first. */
export async function diagnose(servers: Servers, options: DoctorOptions): Promise<Finding[]> {
  return findingsOf(await look(servers, options), options);
}

/** From cause to consequence. Pure. */
export function findingsOf(facts: Facts, { maxWalBytes }: Pick<DoctorOptions, 'maxWalBytes'>): Finding[] {
  const { primary, replicas, plan } = facts;
  return bySeverity([
    ...checkServers(primary, replicas, plan),
    ...[primary, ...replicas].flatMap(checkLogins),
    ...[primary, ...replicas].flatMap(checkPoolers),
    ...checkPublication(primary, replicas),
    ...[primary, ...replicas].flatMap(
      ({ name, details }) => details?.drifts.map((drift) => changed(name, drift)) ?? [],
    ),
    ...checkFailover(primary, replicas),
    ...checkSlots(primary, replicas, maxWalBytes),
    ...replicas.flatMap((replica) => checkSubscription(primary, replica)),
    ...replicas.flatMap((replica) => checkPartitions(primary, replica)),
    ...replicas.flatMap((replica) => checkTables(primary, replica)),
  ]);
}

const changed = kind('tables-changed', ({ found, command }: Drift) => ({
  severity: 'warning',
  found,
  expected: 'tables as the latest migration left them, and as they are declared',
  remedy: `Run ${command}.`,
}));

function checkPartitions({ details: primary }: PrimaryFacts, { name, details }: ReplicaFacts): Finding[] {
  if (!primary || !details?.subscription) return [];
  return primary.partitionChanges
    .filter(({ id }) => id > details.changesCopied)
    .map((change) => otherRows(name, change));
}

const otherRows = kind('partition-changed', (change: PartitionChange) => ({
  found: changeInWords(change),
  expected: 'the rows of all partitions of the primary, and no others',
  remedy: 'Run readback doctor --fix, which copies the replica again.',
  fix: copyAgain,
}));

/**
 * Asks all servers everything that the checks need. Writes nothing but one heartbeat for each replica, and on the primary
 * the partitions that were seen.
 */
async function look({ primary, replicas }: Servers, options: DoctorOptions): Promise<Facts> {
  const one = await lookAtPrimary(primary, options);
  const plan = one.basics ? await planOf(primary, options) : UNKNOWN_PLAN;
  const published = one.details?.published ?? [];
  const others = await Promise.all(replicas.map((replica) => lookAtReplica(replica, tablesOf(published), options)));
  if (one.details) {
    one.details.hidden = await hiddenFrom(primary.admin, tablesOf(published), readersOf(others));
    one.details.gone = await goneFrom(
      primary.admin,
      others.flatMap(({ details }) => details?.watched ?? []),
    );
  }
  if (one.basics?.isSetUp)
    await Promise.all(others.map((facts, index) => follow(primary, replicas[index]!, facts, options.waitMs)));
  return { primary: one, replicas: others, plan };
}

const UNKNOWN_PLAN: Plan = { isAwaited: false, hasPassword: false, streamsAs: null };

/** Who reads on the primary: the server, and each replica's login as it copies. */
const readersOf = (replicas: ReplicaFacts[]) => [
  'readback_reader',
  ...replicas.flatMap(({ details }) => details?.subscription?.connectsAs?.user ?? []),
];

/** The oldest version that can be asked what the checks want to know, and by whom. */
const canLook = ({ basics }: ServerFacts) =>
  basics !== undefined && basics.version >= 150_000 && basics.schemaOwner === null && !basics.isStandby;

async function lookAtPrimary(primary: OperatedServer, options: DoctorOptions): Promise<PrimaryFacts> {
  const { admin, urls } = primary;
  const facts = await lookAtServer(primary, 'primary', options.DB_CONNECT_TIMEOUT_MS);
  const hosts = await lookAtHosts(urls.adminUrl, options.DB_CONNECT_TIMEOUT_MS);
  if (!canLook(facts)) return { ...facts, ...(hosts && { hosts }) };
  const publication = await lookAtPublication(admin);
  return {
    ...facts,
    ...(hosts && { hosts }),
    limits: await limitsOf(admin, 'primary'),
    ...(await lookAtLogins(primary, 'primary', publication.published, options)),
    ...(await lookAtPoolers(urls, options)),
    details: {
      ...publication,
      identities: await identitiesOf(admin, tablesOf(publication.published)),
      drifts: facts.basics!.isSetUp ? driftsOf(await tablesNow(admin, options.declared), options.declared) : [],
      partitionChanges: await partitionChanges(admin),
      ...(await lookAtSlots(admin, options.longTransactionMs, options.SLOT_ACTION)),
      ...(await lookAtHistory(admin)),
    },
  };
}

async function lookAtReplica(
  replica: OperatedServer,
  published: string[],
  options: DoctorOptions,
): Promise<ReplicaFacts> {
  const { admin, urls } = replica;
  const facts = await lookAtServer(replica, 'replica', options.DB_CONNECT_TIMEOUT_MS);
  if (!canLook(facts)) return facts;
  const limits = await limitsOf(admin, 'replica');
  if (!facts.basics!.isSetUp) return { ...facts, limits };
  const subscription = await lookAtSubscription(admin, published, options.DB_CONNECT_TIMEOUT_MS);
  const tables = await lookAtTables(admin, [...published, ...tablesOf(subscription.subscribed)]);
  return {
    ...facts,
    limits,
    ...(await lookAtLogins(replica, 'replica', tables.shapes, options)),
    ...(await lookAtPoolers(urls, options)),
    details: {
      ...subscription,
      ...tables,
      changesCopied: await changesCopied(admin),
      drifts: await viewFaults(admin, options.declared),
    },
  };
}

/** How far it follows the primary, which has been asked before. */
async function follow(
  primary: OperatedServer,
  replica: OperatedServer,
  { basics, details }: ReplicaFacts,
  waitMs: number,
): Promise<void> {
  // Without that right there is no position, which is told.
  if (!details || !basics!.asksOrigin) return;
  await noteAhead(primary.admin, replica.admin, details);
  await noteMissing(primary.admin, replica.admin, details);
  if (details.subscription?.isEnabled) details.probe = await probe(primary, replica, waitMs);
}

/** In the order in which they are done: what stands in the way of others first. */
const REPAIRS: Repair[] = [
  grantRoles,
  dropOrphan,
  letWrite,
  renewLogin,
  copyAgain,
  inOnePhase,
  keepOnStandbys,
  ...SETTINGS,
  knowByKey,
  commitLocally,
  ringAgain,
  takePublished,
  watchAgain,
  completeLog,
];

const repairOf = ({ name }: Fix): Repair => REPAIRS.find((repair) => repair.name === name)!;

/** What a fix will do, for the question before it. */
export const describeFix = (fix: Fix): string => `${fix.server}: ${repairOf(fix).does(fix.subject ?? '')}`;

export async function applyFix(fix: Fix, context: Attaching): Promise<void> {
  const { primary, replicas } = context.servers;
  const server = [primary, ...replicas].find(({ name }) => name === fix.server)!;
  await repairOf(fix).run(server, context, fix.subject ?? '');
}

/** Several findings may ask for the same. Where a replica is copied again, its subscription is made again. */
export function planFixes(fixes: Fix[]): Fix[] {
  const distinct = [...new Map(fixes.map((fix) => [`${fix.name} ${fix.server} ${fix.subject}`, fix])).values()];
  const again = new Set(distinct.filter(({ name }) => name === copyAgain.name).map(({ server }) => server));
  return distinct
    .filter((fix) => !(again.has(fix.server) && repairOf(fix).isOfSubscription))
    .toSorted((a, b) => REPAIRS.indexOf(repairOf(a)) - REPAIRS.indexOf(repairOf(b)));
}
