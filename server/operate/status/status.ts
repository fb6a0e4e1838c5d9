import { parseDatabaseUrl } from '../../lib/database-url.ts';
import { formatLsn, type Lsn } from '../../lib/lsn.ts';
import { arrival, beat } from '../../setup/beat.ts';
import { slotsOf } from '../doctor/look/primary.ts';
import { unreachable, type OperateConfig, type OperatedServer, type Servers } from '../servers.ts';
import {
  isThere,
  lookAtApplied,
  lookAtClients,
  lookAtLog,
  lookAtPublished,
  lookAtServer,
  lookAtSubscribed,
  lookAtSubscription,
  type SubscriptionLook,
} from './look.ts';
import type { PrimaryReport, ReplicaReport, SlotReport, StatusReport } from './report.ts';

export interface StatusOptions extends OperateConfig {
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

const base = ({ name, at }: OperatedServer, error: string | null) => ({
  name,
  at,
  error,
  version: null,
  position: null,
  tables: [],
  clients: [],
});

const loginOf = ({ urls }: OperatedServer) => parseDatabaseUrl(urls.url).user ?? '';

async function primaryReport(primary: OperatedServer, options: StatusOptions): Promise<PrimaryReport> {
  const error = await unreachable(primary, options.DB_CONNECT_TIMEOUT_MS);
  if (error !== undefined) return { ...base(primary, error), slots: [] };
  const { version, flushed } = await lookAtServer(primary.admin);
  return {
    ...base(primary, null),
    version,
    position: formatLsn(flushed),
    tables: await lookAtPublished(primary.admin),
    clients: await lookAtClients(primary.admin, loginOf(primary)),
    slots: await slotsOf(primary.admin),
  };
}

async function replicaReport(
  replica: OperatedServer,
  primary: OperatedServer,
  { error: away, slots }: PrimaryReport,
  options: StatusOptions,
): Promise<ReplicaReport> {
  const nothing = { lagBytes: null, lagMs: null, subscription: null, slot: null, changeLog: null };
  const error = await unreachable(replica, options.DB_CONNECT_TIMEOUT_MS);
  if (error !== undefined) return { ...base(replica, error), ...nothing };
  const look = await lookAtSubscription(replica.admin);
  return {
    ...base(replica, null),
    version: (await lookAtServer(replica.admin)).version,
    ...(away === null ? await lagOf(primary, replica, options.waitMs) : { lagBytes: null, lagMs: null }),
    position: text(await lookAtApplied(replica.admin)),
    ...split(look, slots),
    tables: await lookAtSubscribed(replica.admin),
    changeLog: await lookAtLog(replica.admin),
    clients: await lookAtClients(replica.admin, loginOf(replica)),
  };
}

const text = (lsn: Lsn | null) => (lsn === null ? null : formatLsn(lsn));

function split(look: SubscriptionLook | null, slots: SlotReport[]): Pick<ReplicaReport, 'subscription' | 'slot'> {
  if (look === null) return { subscription: null, slot: null };
  const { slot, ...subscription } = look;
  return { subscription, slot: slots.find(({ name }) => name === slot) ?? null };
}

type Lag = Pick<ReplicaReport, 'lagBytes' | 'lagMs'>;

/** In bytes as it is now; in milliseconds as long as a heartbeat takes that is written now. */
async function lagOf(primary: OperatedServer, replica: OperatedServer, waitMs: number): Promise<Lag> {
  const { flushed } = await lookAtServer(primary.admin);
  const applied = await lookAtApplied(replica.admin);
  if (applied === null || !(await isThere(primary.admin, 'readback.heartbeat'))) return { lagBytes: null, lagMs: null };
  const lagBytes = Number(flushed > applied ? flushed - applied : 0n);
  const started = performance.now();
  const outcome = await arrival(replica, await beat(primary), waitMs);
  const lagMs = outcome === 'arrived' ? Math.round((performance.now() - started) * 10) / 10 : null;
  return { lagBytes, lagMs };
}
