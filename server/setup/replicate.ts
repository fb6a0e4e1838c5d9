import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connect.ts';
import { conninfoOf, subscriptionOf, type Subscription } from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import { format, fromUrl, parse, type Conninfo } from './conninfo.ts';
import { startLogAnew } from './log-state.ts';
import { allowCopy, makeReplicator, runSecretly } from './logins.ts';
import { basicsOf, type Server } from './requirements.ts';
import { refuseHidden } from './row-security.ts';
import { publishedTables, subscribedOn } from './shapes.ts';

const RELEASE_TIMEOUT_MS = 10_000;
const LOGIN_TIMEOUT_MS = 10_000;
/** The slot is read from; the worker runs still. */
const IN_USE = ['55006', '55000'];
const CONNECTION_FAILURE = ['08006'];

/** When an apply worker's commit is on the disk: `local` before it is told to the primary, `off` some time later. */
export type ReplicaCommit = 'local' | 'off';

/** Subscribes a replica to the primary, or repairs what differs in the subscription it has. Running it again changes nothing. */
export async function subscribe(
  primary: Server,
  replica: Server,
  primaryUrl: string,
  commit: ReplicaCommit,
): Promise<void> {
  const slot = await slotName(replica.admin);
  const current = await subscriptionOf(replica.admin);
  const wanted = fromUrl(primaryUrl);
  await noteCommit(replica.admin, commit);
  if (current) await repair(primary, replica, current, wanted, commit);
  else await create(primary, replica, slot, await withLogin(primary.admin, slot, wanted), commit);
}

/** Slot names are shared by all databases of the primary's cluster: each replica's is made of what it is. */
export async function slotName(replica: Sql): Promise<string> {
  const { identity } = await basicsOf(replica);
  return `readback_${createHash('sha256').update(identity).digest('hex').slice(0, 12)}`;
}

/** A login named like the slot, unless the replication URL names one. */
async function withLogin(primary: Sql, slot: string, wanted: Conninfo): Promise<Conninfo> {
  const login = wanted.user === undefined ? await makeReplicator(primary, slot) : { user: wanted.user };
  await allowCopy(primary, login.user);
  return { ...wanted, ...login };
}

async function create(
  primary: Server,
  replica: Server,
  slot: string,
  conninfo: Conninfo,
  commit: ReplicaCommit,
): Promise<void> {
  await refuseHidden(primary, await publishedTables(primary.admin), [conninfo.user!]);
  await dropLeftover(primary.admin, slot);
  await startAnew(primary.admin, replica.admin);
  const failover = (await keepsSlots(primary.admin, replica.admin)) ? ', failover = true' : '';
  const make = () =>
    runSecretly(
      replica.admin,
      `create subscription readback connection %L publication readback with (slot_name = %L, streaming = on, synchronous_commit = ${commit}${failover})`,
      format({ ...conninfo, application_name: slot }),
      slot,
    );
  // Of several hosts a standby may be asked first, which does not have the login of a moment ago yet.
  const patienceMs = conninfo.host?.includes(',') ? LOGIN_TIMEOUT_MS : 0;
  try {
    await againWhile(CONNECTION_FAILURE, patienceMs, make);
  } catch (error) {
    const reason = (error as Error).message.replace(/\s+/g, ' ');
    throw new SetupError(
      `${replica.name} (${replica.at}) cannot subscribe to the primary at ${conninfo.host}:${conninfo.port}: ${reason}. ` +
        'If the replica reaches the primary by another address, set PRIMARY_REPLICATION_URL to it.',
    );
  }
}

/**
 * From PostgreSQL 17 on a standby can keep the primary's slots, so that a replica goes on from it where it is promoted.
 * A slot that is to be kept costs nothing where there is no standby.
 */
async function keepsSlots(...servers: Sql[]): Promise<boolean> {
  const all = await Promise.all(servers.map(basicsOf));
  return all.every(({ version }) => version >= 170_000);
}

export const keepSlot = ({ admin }: Server): Promise<void> => setAtRest(admin, 'failover = true');

/** Of a version that can change it, on both sides. */
export const onePhase = ({ admin }: Server): Promise<void> => setAtRest(admin, 'two_phase = false');

/**
 * An option that can be set while nothing is applied: the replica stands still for a moment. PostgreSQL refuses it until
 * the worker has let go of the slot.
 */
function setAtRest(admin: Sql, option: string): Promise<void> {
  return atRest(admin, () => admin.unsafe(`alter subscription readback set (${option})`));
}

async function atRest(replica: Sql, work: () => PromiseLike<unknown>): Promise<void> {
  await replica`alter subscription readback disable`;
  try {
    await againWhile(IN_USE, RELEASE_TIMEOUT_MS, work);
  } finally {
    await replica`alter subscription readback enable`;
  }
}

/** Tried again where it fails with one of these SQLSTATEs, for so long. */
async function againWhile(codes: readonly string[], forMs: number, work: () => PromiseLike<unknown>): Promise<void> {
  for (const deadline = Date.now() + forMs; ; await sleep(50)) {
    try {
      return void (await work());
    } catch (error) {
      if (!codes.includes((error as { code?: string }).code ?? '') || Date.now() > deadline) throw error;
    }
  }
}

/** A slot of this replica's name without a subscription: an earlier start ended between making the two. */
async function dropLeftover(primary: Sql, slot: string): Promise<void> {
  await primary`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${slot} and not active`;
}

/** Without a subscription, what the replica's tables hold is of an earlier one, and in the way of a fresh copy. */
async function startAnew(primary: Sql, replica: Sql): Promise<void> {
  await emptyTables(replica, await publishedTables(primary));
  await startLogAnew(replica);
}

async function emptyTables(replica: Sql, tables: string[]): Promise<void> {
  if (tables.length > 0) await replica.unsafe(`truncate ${tables.join(', ')}`);
}

/** Whoever has chosen `off` is not told of it as a fault. */
async function noteCommit(replica: Sql, commit: ReplicaCommit): Promise<void> {
  await replica`
    update readback.log_state set may_lose = ${commit === 'off'} where may_lose <> ${commit === 'off'}`;
}

/**
 * The statement restarts the worker, and the new one confirms what the old one has committed and not flushed: afterwards
 * that is on the disk.
 */
export async function setCommit(replica: Sql, commit: ReplicaCommit): Promise<void> {
  await replica.unsafe(`alter subscription readback set (synchronous_commit = ${commit})`);
  await replica`select readback.flush()`;
}

/** Any but `off` waits for the disk. */
async function mendCommit(replica: Sql, { commit }: Subscription, wanted: ReplicaCommit): Promise<void> {
  if ((commit === 'off') !== (wanted === 'off')) await setCommit(replica, wanted);
}

async function repair(
  primary: Server,
  replica: Server,
  current: Subscription,
  wanted: Conninfo,
  commit: ReplicaCommit,
): Promise<void> {
  const { admin } = replica;
  const conninfo = await connectionOf(admin);
  if (Object.entries(wanted).some(([key, value]) => conninfo[key] !== value)) {
    await runSecretly(admin, 'alter subscription readback connection %L', format({ ...conninfo, ...wanted }));
  }
  if (current.failover === false && current.isEnabled && (await keepsSlots(primary.admin, admin)))
    await keepSlot(replica);
  // Parallel streaming applies in several workers, out of commit order.
  if (current.streaming === 'parallel') await admin`alter subscription readback set (streaming = on)`;
  await mendCommit(admin, current, commit);
  await followTables(primary, replica, current, conninfo['user']);
}

/** Of a subscription that somebody else makes and keeps, the tables are followed, and nothing may be lost. */
export async function follow(primary: Server, replica: Server, commit: ReplicaCommit): Promise<void> {
  const current = await subscriptionOf(replica.admin);
  if (!current) return;
  await noteCommit(replica.admin, commit);
  await mendCommit(replica.admin, current, commit);
  await followTables(primary, replica, current, (await connectionOf(replica.admin))['user']);
}

const connectionOf = async (replica: Sql): Promise<Conninfo> => parse((await conninfoOf(replica)) ?? '');

/** Begins to copy tables that are published since, and lets go of those that no longer are. */
async function followTables(
  primary: Server,
  replica: Server,
  { isEnabled, slot }: Subscription,
  login: string | undefined,
): Promise<void> {
  const published = await publishedTables(primary.admin);
  const subscribed = await subscribedOn(replica.admin);
  const added = published.filter((table) => !subscribed.includes(table));
  if (added.length === 0 && published.length === subscribed.length) return;
  if (!isEnabled) throw new SetupError(disabled(replica));
  if (login !== undefined) {
    await refuseHidden(primary, added, [login]);
    await allowCopy(primary.admin, login);
  }
  if (subscribed.length === 0) await skipToNow(primary, replica, slot);
  await emptyTables(replica.admin, added);
  await replica.admin`alter subscription readback refresh publication`;
}

/**
 * A subscription without a table has nothing to lose, and may have been made before there was a publication: up to 17
 * PostgreSQL refuses to send it anything from then, for ever. Its slot goes on from now.
 */
async function skipToNow(primary: Server, replica: Server, slot: string | null): Promise<void> {
  const [found] = await primary.admin`select from pg_replication_slots where slot_name = ${slot}`;
  if (!found) throw new SetupError(slotless(replica, slot));
  await atRest(
    replica.admin,
    () => primary.admin`select pg_replication_slot_advance(${slot}, pg_current_wal_flush_lsn())`,
  );
}

const slotless = ({ name, at }: Server, slot: string | null) =>
  `${name} (${at}): its subscription readback copies no table, and ${slot === null ? 'has no slot' : `its slot ${slot} is not on the primary`}. ` +
  'Drop it there, and have it made again with its slot (connect and create_slot are on by default).';

const disabled = ({ name, at }: Server) =>
  `${name} (${at}): its subscription is disabled, so it cannot begin to copy what is published now. ` +
  'Run there: alter subscription readback enable; then start again.';
