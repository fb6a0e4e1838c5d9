import { withConnection, type Sql } from '../../database/connect.ts';
import { notedOf, proofOf } from '../../database/sql/positions.ts';
import { isThere } from '../../database/sql/there.ts';
import { wordsOf } from '../../lib/complaints.ts';
import { describeUrl, formatDatabaseUrl, parseDatabaseUrl } from '../../lib/database-url.ts';
import type { Lsn } from '../../lib/lsn.ts';
import { toSet, type Provider } from '../../setup/providers.ts';
import { keepSlot } from '../../setup/replicate.ts';
import { kind, type Finding, type Repair } from './finding.ts';
import type { Looked } from './servers.ts';
import { copyAgain } from './subscription.ts';

/** Whether the replicas are of the primary's history, and, where it has standbys, would go on from one. */
export interface HistoryFacts {
  /** The physical slots that logical ones wait for; null: this version knows no such setting. */
  standbySlots: string | null;
  /** The role that may not read where its earlier timelines ended; null: it may, or there are none. */
  timelinesUnread: string | null;
}

/** One of several hosts, of which one is the primary and the others are its standbys. */
export interface HostFacts {
  at: string;
  /** Why it cannot be asked; then nothing else is known. */
  unreachable?: string;
  isStandby?: boolean;
  /** Settings of a standby with which it does not keep the primary's logical slots. */
  unset?: string[];
  /** Slots that it keeps for when it is promoted. */
  keeps?: string[];
}

/** Of a replica: its slot, and what was asked after all servers were looked at. */
interface Following {
  subscription: { slot: string | null } | null;
  missing: Lsn | null;
  /** It has applied so much more than the primary has, or has for certain, on its timeline. */
  aheadBytes?: number;
}

interface Kept extends HistoryFacts {
  slots: { name: string; isFailover: boolean | null }[];
}

export async function lookAtHistory(sql: Sql): Promise<HistoryFacts> {
  const [{ standbySlots }] = await sql<[Pick<HistoryFacts, 'standbySlots'>]>`
    select current_setting('synchronized_standby_slots', true) as standby_slots`;
  return { standbySlots, timelinesUnread: await timelinesUnread(sql) };
}

/** They stand in a file of the server's, which it reads as the owner of the function. The first has none. */
async function timelinesUnread(sql: Sql): Promise<string | null> {
  const [row] = await sql<[{ owner: string }?]>`
    select proowner::regrole::text as owner from pg_proc
    where oid = to_regprocedure('readback.timelines()') and left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) <> '00000001'
      and not has_function_privilege(proowner, 'pg_catalog.pg_read_file(text, bigint, bigint, boolean)', 'execute')`;
  return row?.owner ?? null;
}

/** Each host of a URL with several; undefined where it names one. */
export async function lookAtHosts(text: string, timeoutMs: number): Promise<HostFacts[] | undefined> {
  const url = parseDatabaseUrl(text);
  if (url.hosts.length === 1) return undefined;
  return Promise.all(url.hosts.map((host) => lookAtHost(formatDatabaseUrl({ ...url, hosts: [host] }), timeoutMs)));
}

async function lookAtHost(url: string, timeoutMs: number): Promise<HostFacts> {
  const at = describeUrl(url);
  try {
    const options = { connectTimeoutMs: timeoutMs, applicationName: 'readback doctor' };
    const [facts] = await withConnection(url, options, factsOf);
    return { at, ...facts };
  } catch (error) {
    return { at, unreachable: wordsOf(error) };
  }
}

const factsOf = async (sql: Sql) => sql<[Required<Omit<HostFacts, 'at' | 'unreachable'>>]>`
  select pg_is_in_recovery() as is_standby,
         (select coalesce(json_agg(name order by name), '[]') from pg_settings
          where name in ('sync_replication_slots', 'hot_standby_feedback', 'primary_slot_name') and setting in ('off', '')) as unset,
         (select coalesce(json_agg(slot_name), '[]') from pg_replication_slots s
          where to_jsonb(s) ->> 'synced' = 'true' and not temporary and to_jsonb(s) ->> 'invalidation_reason' is null) as keeps`;

/** What servers saw on the replica, and it has no more. Where the schema is older than that, nothing is known. */
export async function noteMissing(primary: Sql, replica: Sql, details: Following): Promise<void> {
  const slot = details.subscription?.slot;
  const isKnown = await isThere(primary, 'readback.seen_positions');
  const noted = isKnown && slot != null ? await notedOf(primary, slot) : undefined;
  if (!noted) return;
  const proof = await proofOf(replica, noted.positions);
  if (proof.logId === noted.logId) details.missing = noted.lost ?? proof.missing;
}

/**
 * The replica's position is read first: nothing that is on its way makes it look ahead. Without its slot, it has nothing of
 * the latest timeline for certain: then it is compared with where that one began, which the primary has soon written past.
 */
export async function noteAhead(primary: Sql, replica: Sql, details: Following): Promise<void> {
  if (!details.subscription) return;
  const [{ seen }] = await replica<[{ seen: Lsn | null }]>`select readback.seen() as seen`;
  if (seen === null) return;
  const [ahead] = await primary<[{ bytes: number }]>`
    select greatest(0, pg_wal_lsn_diff(${primary.typed.lsn(seen)}, case
      when exists (select from pg_replication_slots where slot_name = ${details.subscription.slot}) then pg_current_wal_insert_lsn()
      else coalesce((select max(ended) from readback.timelines()), pg_current_wal_insert_lsn()) end))::float as bytes`;
  if (ahead.bytes > 0) details.aheadBytes = ahead.bytes;
}

export function checkFailover(
  primary: Looked<Kept> & { hosts?: HostFacts[] },
  replicas: Looked<Following>[],
): Finding[] {
  const { name, hosts, details } = primary;
  const ahead = replicas.filter(({ details: own }) => own?.aheadBytes);
  return [
    ...(details?.timelinesUnread ? [noTimelines(name, details.timelinesUnread)] : []),
    ...ahead.map((replica) => tooFar(replica.name, replica.details!.aheadBytes!)),
    ...(hosts ? [...checkHosts(name, hosts), ...checkSlotsKept(primary, hosts, replicas)] : []),
  ];
}

function checkHosts(server: string, hosts: HostFacts[]): Finding[] {
  const primaries = hosts.filter(({ isStandby }) => isStandby === false);
  return [
    ...(primaries.length > 1 ? [twoPrimaries(server, primaries)] : []),
    ...hosts.flatMap(({ at, unreachable, isStandby, unset = [] }) => {
      if (unreachable !== undefined) return [away(server, at, unreachable)];
      return isStandby && unset.length > 0 ? [unfit(server, at, unset)] : [];
    }),
  ];
}

/** The slots of the replicas, on the primary and on its standbys. */
function checkSlotsKept(primary: Looked<Kept>, hosts: HostFacts[], replicas: Looked<Following>[]): Finding[] {
  const { name, details, basics } = primary;
  if (!details) return [];
  if (basics!.version < 170_000) return [tooOld(name, basics!.version)];
  const standbys = hosts.filter(({ isStandby }) => isStandby);
  const notKept = replicas.flatMap((replica) => {
    const slot = details.slots.find((one) => one.name === replica.details?.subscription?.slot);
    if (!slot) return [];
    if (!slot.isFailover) return [notKeepable(replica.name, slot.name)];
    return standbys
      .filter(({ keeps = [] }) => !keeps.includes(slot.name))
      .map(({ at }) => notYetKept(replica.name, slot.name, at));
  });
  return [
    ...notKept,
    ...(details.standbySlots === '' && standbys.length > 0 ? [notWaiting(name, basics!.provider)] : []),
  ];
}

const noTimelines = kind('timelines', (owner: string) => ({
  severity: 'advice',
  found: `${owner} may not read where earlier timelines ended, so bookmarks and cursors from before the last failover are refused once`,
  expected: 'the owner of readback.timelines() may read the history of timelines',
  remedy: `Run there as a superuser, where there is one: grant execute on function pg_read_file(text, bigint, bigint, boolean) to ${owner};`,
}));

const tooFar = kind('replica-ahead', (bytes: number) => ({
  found: `it has applied ${bytes} bytes of WAL that are not of the primary's history, as far as can be told`,
  expected: 'a replica that is behind: this one holds what a failover, or a recovery to an earlier point, has undone',
  remedy: 'All tables must be copied again. readback doctor --fix does it.',
  fix: copyAgain,
}));

const twoPrimaries = kind('two-primaries', (hosts: HostFacts[]) => ({
  found: `${hosts.map(({ at }) => at).join(' and ')} both take writes`,
  expected: 'one primary: what is written to the other is lost',
  remedy:
    'Stop the one that was the primary before at once, and make it a standby of the other (pg_rewind or pg_basebackup).',
}));

const away = kind('standby-away', (at: string, reason: string) => ({
  severity: 'warning',
  found: `${at} does not answer: ${reason}`,
  expected: 'the primary or a hot standby on every host of PRIMARY_URL',
  remedy: 'Start it as a standby, or take it out of the URLs.',
}));

const unfit = kind('standby-settings', (at: string, unset: string[]) => ({
  severity: 'warning',
  found: `${at} is a standby without ${unset.join(', ')}`,
  expected:
    'hot_standby_feedback = on, primary_slot_name, and from PostgreSQL 17 on sync_replication_slots = on: else it cannot keep the slots',
  remedy: `Set them there, see docs/failover.md; without, each replica is copied again after a failover.`,
}));

const tooOld = kind('slot-not-kept', (version: number) => ({
  severity: 'advice',
  found: `PostgreSQL ${Math.floor(version / 10_000)}, of which standbys keep no logical slots`,
  expected: 'PostgreSQL 17 or later, for replicas that go on after a failover',
  remedy: 'After a failover run readback doctor --fix: it copies each replica again.',
}));

export const keepOnStandbys: Repair = {
  name: 'keep-slot',
  does: () => 'have its slot kept on standbys of the primary: it stands still for a moment',
  run: keepSlot,
  isOfSubscription: true,
};

const notKeepable = kind('slot-not-kept', (slot: string) => ({
  severity: 'warning',
  found: `its slot ${slot} is not one that standbys keep`,
  expected: 'failover = true of the subscription: else the replica is copied again after a failover',
  remedy: 'Run readback doctor --fix or readback migrate.',
  fix: keepOnStandbys,
}));

const notYetKept = kind('slot-not-kept', (slot: string, at: string) => ({
  severity: 'warning',
  found: `the standby ${at} does not keep its slot ${slot}, or not yet`,
  expected: 'the slot there, synced and not temporary: else the replica is copied again after a failover',
  remedy: 'See the log of the standby. Where nothing is written, the slot is kept some time after the next write.',
}));

const notWaiting = kind('standby-slots', (provider: Provider | null) => ({
  severity: 'warning',
  found: 'synchronized_standby_slots is empty: replicas may get changes that no standby has yet',
  expected:
    "the standbys' physical slots: a replica that is ahead of a promoted standby holds what is lost, and is copied again",
  remedy: toSet(provider, 'synchronized_standby_slots', "'…'", 'reload'),
}));
