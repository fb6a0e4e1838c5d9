import type { Sql } from '../database/connect.ts';
import { appliedOn } from '../database/sql/positions.ts';
import { isThere } from '../database/sql/there.ts';
import { NOT_COMPLETE } from '../database/sql/change-log.ts';
import { estimatedRows } from '../database/sql/sizes.ts';
import { slotsOf, type Slot } from '../database/sql/slots.ts';
import { subscribedTables, subscriptionOf, type Subscription } from '../database/sql/subscriptions.ts';
import { parseDatabaseUrl } from '../lib/database-url.ts';
import { bytesBetween, formatLsn, type Lsn } from '../lib/lsn.ts';
import { arrival, beat } from '../setup/log-state.ts';
import { publishedTables } from '../setup/shapes.ts';
import { unreachable, type OperatedServer, type Servers } from '../setup/servers.ts';
import type { SetupConfig } from '../setup/setup.ts';

/** What `readback status --json` prints: names stay, new ones may be added. */
export interface StatusReport {
  at: string;
  /** Every server answers, and every replica applies all tables. */
  isWell: boolean;
  primary: PrimaryReport;
  replicas: ReplicaReport[];
}

interface ServerReport {
  name: string;
  /** Host, port and database. */
  at: string;
  /** Why it cannot be used; null: it answers. */
  error: string | null;
  version: string | null;
  /** On the primary, where its WAL is flushed to; on a replica, what of it is applied. */
  position: string | null;
  tables: TableReport[];
  /** Who is connected as Readback. */
  clients: ClientReport[];
}

export interface PrimaryReport extends ServerReport {
  slots: SlotReport[];
}

export interface ReplicaReport extends ServerReport {
  lagBytes: number | null;
  /** How long a change takes to arrive now; null: longer than was waited for, or nothing arrives. */
  lagMs: number | null;
  subscription: SubscriptionReport | null;
  slot: SlotReport | null;
  changeLog: ChangeLogReport | null;
}

export interface TableReport {
  table: string;
  /** As the statistics count them; of a partitioned table, those of its partitions. */
  rows: number;
  bytes: number;
  /** Of the replica's copy; null on the primary. */
  sync: 'ready' | 'copying' | null;
}

export interface ClientReport {
  application: string;
  user: string;
  connections: number;
  /** Of those, in a statement or transaction now. */
  busy: number;
}

export type SlotReport = Omit<Slot, 'owedBytes' | 'limitBytes' | 'inactiveSince'>;

export type SubscriptionReport = Pick<
  Subscription,
  'isEnabled' | 'streaming' | 'worker' | 'receivedAt' | 'applyErrors' | 'syncErrors'
>;

export interface ChangeLogReport {
  logId: string;
  /** As the statistics count them. */
  rows: number;
  bytes: number;
  /** When its oldest and newest change were applied. */
  oldest: string | null;
  newest: string | null;
  /** Where its newest transaction begins. */
  position: string | null;
  prunedTo: string;
  /** Positions of other replicas are good from here on; null: set-up has not ended. */
  completeSince: string | null;
}

export interface StatusOptions extends SetupConfig {
  /** How long a change may take to arrive, where its way is measured. */
  waitMs: number;
}

/** Both sides at a glance. Writes nothing but a heartbeat for each replica, whose way is measured. */
export async function statusOf({ primary, replicas }: Servers, options: StatusOptions): Promise<StatusReport> {
  const one = await primaryReport(primary, options);
  const others = await Promise.all(replicas.map((replica) => replicaReport(replica, primary, one, options)));
  const isWell = one.error === null && others.every(isReplicaWell);
  return { at: new Date().toISOString(), isWell, primary: one, replicas: others };
}

const isReplicaWell = ({ error, lagMs, tables, slot }: ReplicaReport) =>
  error === null && lagMs !== null && slot?.isActive === true && tables.every(({ sync }) => sync === 'ready');

const unknown = ({ name, at }: OperatedServer, error: string) => ({
  name,
  at,
  error,
  version: null,
  position: null,
  tables: [],
  clients: [],
});

/** What is told of either side. */
async function known(server: OperatedServer, position: Lsn | null, tables: Tables) {
  const { name, at, admin, urls } = server;
  return {
    name,
    at,
    error: null,
    version: (await lookAtServer(admin)).version,
    position: text(position),
    tables: await lookAtTables(admin, tables),
    clients: await lookAtClients(admin, parseDatabaseUrl(urls.url).user ?? ''),
  };
}

async function primaryReport(primary: OperatedServer, options: StatusOptions): Promise<PrimaryReport> {
  const { admin } = primary;
  const error = await unreachable(primary, options.DB_CONNECT_TIMEOUT_MS);
  if (error !== undefined) return { ...unknown(primary, error), slots: [] };
  const { flushed } = await lookAtServer(admin);
  const tables = (await publishedTables(admin)).map((table) => [table, null] as const);
  return { ...(await known(primary, flushed, new Map(tables))), slots: (await slotsOf(admin)).map(slotReport) };
}

async function replicaReport(
  replica: OperatedServer,
  primary: OperatedServer,
  { error: away, slots }: PrimaryReport,
  options: StatusOptions,
): Promise<ReplicaReport> {
  const { admin } = replica;
  const nothing = { lagBytes: null, lagMs: null, subscription: null, slot: null, changeLog: null };
  const error = await unreachable(replica, options.DB_CONNECT_TIMEOUT_MS);
  if (error !== undefined) return { ...unknown(replica, error), ...nothing };
  const subscription = await subscriptionOf(admin);
  const tables = (await subscribedTables(admin)).map(
    ({ table, isReady }) => [table, isReady ? 'ready' : 'copying'] as const,
  );
  const lag = away === null ? await lagOf(primary, replica, options.waitMs) : { lagBytes: null, lagMs: null };
  return {
    ...(await known(replica, await lookAtApplied(admin), new Map(tables))),
    ...lag,
    subscription: subscription && subscriptionReport(subscription),
    slot: slots.find(({ name }) => name === subscription?.slot) ?? null,
    changeLog: await lookAtLog(admin),
  };
}

const text = (lsn: Lsn | null) => (lsn === null ? null : formatLsn(lsn));

function slotReport(slot: Slot): SlotReport {
  const { name, isActive, walStatus, heldBytes, safeBytes, invalidationReason, isFailover } = slot;
  return { name, isActive, walStatus, heldBytes, safeBytes, invalidationReason, isFailover };
}

function subscriptionReport(subscription: Subscription): SubscriptionReport {
  const { isEnabled, worker, streaming, receivedAt, applyErrors, syncErrors } = subscription;
  return { isEnabled, streaming, worker, receivedAt, applyErrors, syncErrors };
}

type Lag = Pick<ReplicaReport, 'lagBytes' | 'lagMs'>;

/** In bytes as it is now; in milliseconds as long as a heartbeat takes that is written now. */
async function lagOf(primary: OperatedServer, replica: OperatedServer, waitMs: number): Promise<Lag> {
  const { flushed } = await lookAtServer(primary.admin);
  const applied = await lookAtApplied(replica.admin);
  if (applied === null || !(await isThere(primary.admin, 'readback.heartbeat'))) return { lagBytes: null, lagMs: null };
  const lagBytes = bytesBetween(applied, flushed);
  const started = performance.now();
  const outcome = await arrival(replica, await beat(primary), waitMs);
  const lagMs = outcome === 'arrived' ? Math.round((performance.now() - started) * 10) / 10 : null;
  return { lagBytes, lagMs };
}

async function lookAtServer(sql: Sql): Promise<{ version: string; flushed: Lsn }> {
  const [row] = await sql<[{ version: string; flushed: Lsn }]>`
    select split_part(current_setting('server_version'), ' ', 1) as version, pg_current_wal_flush_lsn() as flushed`;
  return row;
}

/** Readback's own connections name themselves; others with its login are told, too. */
function lookAtClients(sql: Sql, login: string): Promise<ClientReport[]> {
  return sql<ClientReport[]>`
    select coalesce(nullif(application_name, ''), '(no name)') as application, usename::text as user,
           count(*)::int as connections, count(*) filter (where state <> 'idle')::int as busy
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
      and (usename = ${login} or application_name like 'readback %')
    group by 1, 2 order by 1, 2`;
}

/** How far the copy of each is. */
type Tables = ReadonlyMap<string, TableReport['sync']>;

async function lookAtTables(sql: Sql, sync: Tables): Promise<TableReport[]> {
  const tables = [...sync.keys()];
  const found = await sql<Omit<TableReport, 'sync'>[]>`
    select name as table, coalesce(sum(pg_stat_get_live_tuples(part.oid)), 0)::float as rows,
           sum(pg_total_relation_size(part.oid))::float as bytes
    from jsonb_array_elements_text(${sql.json(tables)}) as t(name),
    lateral (select to_regclass(name)::oid as oid union select relid from pg_partition_tree(to_regclass(name))) part
    group by 1 order by 1`;
  // Of a copy that nobody has analysed yet the statistics know no rows.
  const estimated = await estimatedRows(sql, tables);
  return found.map((one) => ({
    ...one,
    rows: one.rows || Math.round(estimated.get(one.table) ?? 0),
    sync: sync.get(one.table)!,
  }));
}

interface LogRow extends Omit<ChangeLogReport, 'position' | 'prunedTo' | 'completeSince'> {
  position: Lsn | null;
  prunedTo: Lsn;
  completeSince: Lsn;
}

/** Null where the database is not set up. The ends are looked up by the log's key, which is its order. */
async function lookAtLog(sql: Sql): Promise<ChangeLogReport | null> {
  if (!(await isThere(sql, 'readback.log_state'))) return null;
  const [row] = await sql<LogRow[]>`
    select l.log_id::text, l.pruned_to, l.complete_since, newest.after_lsn as position,
           oldest.applied_at as oldest, newest.applied_at as newest,
           (select coalesce(n_live_tup, 0)::float from pg_stat_user_tables where relid = 'readback.change_log'::regclass) as rows,
           pg_total_relation_size('readback.change_log')::float as bytes
    from readback.log_state l
    left join (select applied_at from readback.change_log order by after_lsn, seq limit 1) oldest on true
    left join (select after_lsn, applied_at from readback.change_log order by after_lsn desc, seq desc limit 1) newest on true`;
  if (!row) return null;
  const { position, prunedTo, completeSince } = row;
  return {
    ...row,
    position: text(position),
    prunedTo: formatLsn(prunedTo),
    completeSince: completeSince === NOT_COMPLETE ? null : formatLsn(completeSince),
  };
}

const lookAtApplied = async (sql: Sql): Promise<Lsn | null> =>
  (await isThere(sql, 'readback.log_state')) ? appliedOn(sql) : null;
