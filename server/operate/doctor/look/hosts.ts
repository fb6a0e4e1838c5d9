import { connect } from '../../../database/connect.ts';
import { describeUrl, formatDatabaseUrl, parseDatabaseUrl } from '../../../lib/database-url.ts';
import type { Lsn } from '../../../lib/lsn.ts';
import { notedOf, proofOf } from '../../../database/sql/positions.ts';
import type { OperatedServer } from '../../servers.ts';
import type { HostFacts, ReplicaFacts } from '../facts.ts';

/** Each host of a URL with several; undefined where it names one. */
export async function lookAtHosts(text: string, timeoutMs: number): Promise<HostFacts[] | undefined> {
  const url = parseDatabaseUrl(text);
  if (url.hosts.length === 1) return undefined;
  return Promise.all(url.hosts.map((host) => lookAtHost(formatDatabaseUrl({ ...url, hosts: [host] }), timeoutMs)));
}

interface HostRow {
  isStandby: boolean;
  unset: string[];
  keeps: string[];
}

async function lookAtHost(url: string, timeoutMs: number): Promise<HostFacts> {
  const at = describeUrl(url);
  const sql = connect(url, { max: 1, connectTimeoutMs: timeoutMs, applicationName: 'readback doctor' });
  try {
    const [row] = await sql<[HostRow]>`
      select pg_is_in_recovery() as is_standby,
             (select coalesce(json_agg(name order by name), '[]') from pg_settings
              where name in ('sync_replication_slots', 'hot_standby_feedback', 'primary_slot_name') and setting in ('off', '')) as unset,
             (select coalesce(json_agg(slot_name), '[]') from pg_replication_slots s
              where to_jsonb(s) ->> 'synced' = 'true' and not temporary and to_jsonb(s) ->> 'invalidation_reason' is null) as keeps`;
    return { at, ...row };
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    return { at, unreachable: message || code || 'no reason given' };
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** What servers saw on a replica, and it has no more. Where its schema is older than that, nothing is known. */
export async function noteMissing(primary: OperatedServer, replicas: OperatedServer[], facts: ReplicaFacts[]) {
  const [known] = await primary.admin<
    [{ is: boolean }]
  >`select to_regclass('readback.seen_positions') is not null as is`;
  if (!known.is) return;
  for (const [index, { details }] of facts.entries()) {
    const slot = details?.subscription?.slot;
    if (!details || slot == null) continue;
    const noted = await notedOf(primary.admin, slot);
    if (!noted) continue;
    const proof = await proofOf(replicas[index]!.admin, noted.positions);
    if (proof.logId === noted.logId) details.missing = noted.lost ?? proof.missing;
  }
}

/**
 * A replica's position is read first: nothing that is on its way makes it look ahead. Without its slot, it has nothing of
 * the latest timeline for certain: then it is compared with where that one began, which the primary has soon written past.
 */
export async function noteAhead(
  primary: OperatedServer,
  replicas: OperatedServer[],
  facts: ReplicaFacts[],
  tellsTimelines: boolean,
) {
  const { admin } = primary;
  const began = tellsTimelines ? admin`(select max(ended) from readback.timelines())` : admin`null::pg_lsn`;
  for (const [index, { details }] of facts.entries()) {
    if (!details?.subscription) continue;
    const [applied] = await replicas[index]!.admin<[{ seen: Lsn | null }]>`select readback.seen() as seen`;
    if (applied.seen === null) continue;
    const seen = primary.admin.typed.lsn(applied.seen);
    const [ahead] = await primary.admin<[{ bytes: number }]>`
      select greatest(0, pg_wal_lsn_diff(${seen}, case
        when exists (select from pg_replication_slots where slot_name = ${details.subscription.slot}) then pg_current_wal_insert_lsn()
        else coalesce(${began}, pg_current_wal_insert_lsn()) end))::float as bytes`;
    if (ahead.bytes > 0) details.aheadBytes = ahead.bytes;
  }
}
