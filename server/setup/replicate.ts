import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connect.ts';
import {
  conninfoOf,
  ours,
  subscribedTables,
  subscriptionOf,
  type Subscription,
} from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { format, fromUrl, parse, type Conninfo } from './conninfo.ts';
import { startLogAnew } from './log-state.ts';
import { noteCopying } from './partitions.ts';
import { allowCopy, asReplicator, isVerified, makeReplicator, runSecretly, verifierOf } from './logins.ts';
import { tryToReach } from './reach.ts';
import { basicsOf, type Server } from './servers.ts';
import { letPast, refuseHidden } from './stops.ts';
import { publishedTables } from './shapes.ts';

const RELEASE_TIMEOUT_MS = 10_000;
const LOGIN_TIMEOUT_MS = 10_000;
/** The slot is read from; the worker runs still. */
const IN_USE = ['55006', '55000'];
const CONNECTION_FAILURE = ['08006'];

/** How long somebody else may take to make a subscription. */
const MOST_WAIT_MS = 300_000;
const POLL_MS = 100;

/** When an apply worker's commit is on the disk: `local` before it is told to the primary, `off` some time later. */
export type ReplicaCommit = 'local' | 'off';

/** A replica, what it subscribes to, and how it is to commit. */
export interface Subscribing {
  primary: Server;
  replica: Server;
  commit: ReplicaCommit;
  /** The replica may take so long to reach the primary. */
  connectTimeoutMs: number;
}

/** Subscribes a replica to the primary, or repairs what differs in the subscription it has. Running it again changes nothing. */
export async function subscribeReplica(pair: Subscribing, primaryUrl: string): Promise<void> {
  const { admin } = pair.replica;
  const current = await subscriptionOf(admin);
  await noteCommit(admin, pair.commit);
  if (current) await repair(pair, current, fromUrl(primaryUrl));
  else await create(pair, await slotName(admin), fromUrl(primaryUrl));
}

/** Slot names are shared by all databases of the primary's cluster: each replica's is made of what it is. */
export async function slotName(replica: Sql): Promise<string> {
  const { identity } = await basicsOf(replica);
  return `readback_${createHash('sha256').update(identity).digest('hex').slice(0, 12)}`;
}

/** A login named like the slot, unless the replication URL names one. */
async function withLogin(primary: Server, slot: string, wanted: Conninfo): Promise<Conninfo> {
  const login = wanted.user === undefined ? await makeReplicator(primary.admin, slot) : { user: wanted.user };
  await allowCopy(primary, login.user);
  return { ...wanted, ...login };
}

/** To whom a replica copies as: a login that is Readback's own is let past row level security. @throws SetupError */
async function showAll(primary: Server, tables: string[], login: string, slot: string | null): Promise<void> {
  if (login === slot) await letPast(primary.admin, tables, [login]);
  await refuseHidden(primary, tables, [login]);
}

async function create(
  { primary, replica, commit, connectTimeoutMs }: Subscribing,
  slot: string,
  wanted: Conninfo,
): Promise<void> {
  const conninfo = await withLogin(primary, slot, wanted);
  const tables = await publishedTables(primary.admin);
  await showAll(primary, tables, conninfo.user!, slot);
  // A slot of this replica's name without a subscription: an earlier start ended between making the two.
  await asReplicator(
    primary,
    (sql) => sql`
      select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${slot} and not active`,
  );
  // What the replica's tables hold is of an earlier subscription, and in the way of a fresh copy.
  await emptyTables(replica.admin, tables);
  await startLogAnew(replica.admin);
  await noteCopying(primary.admin, replica.admin);
  const failover = (await keepsSlots(primary.admin, replica.admin)) ? ', failover = true' : '';
  const make = async () => {
    await tryToReach(replica.admin, conninfo, connectTimeoutMs);
    await runSecretly(
      replica.admin,
      `create subscription readback connection %L publication readback with (slot_name = %L, streaming = on, synchronous_commit = ${commit}${failover})`,
      format({ ...conninfo, application_name: slot }),
      slot,
    );
  };
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
  await noteConnection(replica.admin, wanted);
}

/**
 * From PostgreSQL 17 on a standby can keep the primary's slots, so that a replica goes on from it where it is promoted.
 * A slot that is to be kept costs nothing where there is no standby.
 */
export async function keepsSlots(...servers: Sql[]): Promise<boolean> {
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

/** It has a subscription, of an owner that the login is no member of. */
export async function isOthers(replica: Sql): Promise<boolean> {
  const rows = await replica`
    select from pg_subscription s where ${ours(replica)} and not pg_has_role(current_user, subowner, 'usage')`;
  return rows.length > 0;
}

/** @throws SetupError for a subscription of somebody else's, with what they have to run. */
async function alter({ name, at, admin }: Server, what: string): Promise<void> {
  const statement = `alter subscription readback ${what}`;
  if (await isOthers(admin))
    throw new SetupError(
      `${name} (${at}): its subscription belongs to somebody else, who has to run there: ${statement}; then start again.`,
    );
  await admin.unsafe(statement);
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
export async function setCommit(replica: Server, commit: ReplicaCommit): Promise<void> {
  await alter(replica, `set (synchronous_commit = ${commit})`);
  await replica.admin`select readback.flush()`;
}

/** Any but `off` waits for the disk. */
async function mendCommit(replica: Server, { commit }: Subscription, wanted: ReplicaCommit): Promise<void> {
  if ((commit === 'off') !== (wanted === 'off')) await setCommit(replica, wanted);
}

async function repair(pair: Subscribing, current: Subscription, wanted: Conninfo): Promise<void> {
  const { primary, replica, commit } = pair;
  const { admin } = replica;
  const conninfo = await connectionOf(admin);
  if (await isOtherwise(admin, conninfo, wanted)) await reconnect(pair, current, conninfo, wanted);
  if (current.failover === false && current.isEnabled && (await keepsSlots(primary.admin, admin)))
    await keepSlot(replica);
  // Parallel streaming applies in several workers, out of commit order.
  if (current.streaming === 'parallel') await admin`alter subscription readback set (streaming = on)`;
  await mendCommit(replica, current, commit);
  await followTables(pair, current, wanted.user ?? conninfo?.['user'] ?? current.slot ?? undefined);
}

/** What it connects with superusers alone see; anybody else goes by what was noted when it was set. */
async function isOtherwise(replica: Sql, known: Conninfo | undefined, wanted: Conninfo): Promise<boolean> {
  if (known) return Object.entries(wanted).some(([key, value]) => known[key] !== value);
  const [noted] = await replica<[{ verifier: string }?]>`select verifier from readback.connection`;
  return noted === undefined || !(await isVerified(format(wanted), noted.verifier));
}

/** A password that nobody knows any more is replaced by another one, and so it is where `isRenewed`. */
async function reconnect(
  { primary, replica }: Subscribing,
  { slot }: Subscription,
  known: Conninfo | undefined,
  wanted: Conninfo,
  isRenewed = known === undefined,
): Promise<void> {
  const name = slot ?? (await slotName(replica.admin));
  const changes = isRenewed ? await withLogin(primary, name, wanted) : wanted;
  const conninfo = { ...(known ?? { application_name: name }), ...changes };
  await runSecretly(replica.admin, 'alter subscription readback connection %L', format(conninfo));
  await noteConnection(replica.admin, wanted);
}

async function noteConnection(replica: Sql, wanted: Conninfo): Promise<void> {
  await replica`
    insert into readback.connection (verifier) values (${await verifierOf(format(wanted))})
    on conflict (id) do update set verifier = excluded.verifier`;
}

/** A new password, and the address that is configured. */
export async function renewConnection(pair: Subscribing, primaryUrl: string): Promise<void> {
  const { admin } = pair.replica;
  const current = await subscriptionOf(admin);
  if (current) await reconnect(pair, current, await connectionOf(admin), fromUrl(primaryUrl), true);
}

/**
 * Where somebody else makes the subscriptions, such as an operator of Kubernetes: lets their login copy, waits until they
 * have, and follows what is published. Their connection, slot and options are theirs to keep, but for the one by which a
 * replica could lose what it has confirmed. One that was made before there was anything to subscribe to is made to begin.
 * @throws SetupError where none appears within five minutes, and at once for one that is to something else.
 */
export async function awaitSubscription(pair: Subscribing, primaryUrl: string, say: Say): Promise<void> {
  const { primary, replica } = pair;
  const { user } = fromUrl(primaryUrl);
  if (user === undefined) throw new SetupError(NO_LOGIN);
  await allowCopy(primary, user);
  let made = await subscriptionOf(replica.admin);
  if (!made) {
    await noteCopying(primary.admin, replica.admin);
    say(`${replica.name}: waiting for the subscription readback to the publication readback`);
  }
  for (const deadline = Date.now() + MOST_WAIT_MS; !made; made = await subscriptionOf(replica.admin)) {
    if (Date.now() > deadline) throw new SetupError(unmade(replica));
    await sleep(POLL_MS);
  }
  if (!made.publications.includes('readback')) throw new SetupError(toOthers(replica, made.publications));
  await noteCommit(replica.admin, pair.commit);
  await mendCommit(replica, made, pair.commit);
  await followTables(pair, made, (await connectionOf(replica.admin))?.['user'] ?? user);
}

const toOthers = ({ name, at }: Server, publications: string[]) =>
  `${name} (${at}): its subscription readback is to ${publications.join(', ')}, and must be to the publication readback. ` +
  'Have what makes it name that one.';

const NO_LOGIN =
  'SUBSCRIPTIONS=awaited needs to know whom the replicas stream as: set PRIMARY_REPLICATION_URL with that user in it.';

const unmade = ({ name, at }: Server) =>
  `${name} (${at}): SUBSCRIPTIONS is awaited, and no subscription named readback was made there within ${MOST_WAIT_MS} ms. ` +
  'Look at what makes it, or set SUBSCRIPTIONS=made to have set-up make it.';

/** Undefined: it may not be read. */
async function connectionOf(replica: Sql): Promise<Conninfo | undefined> {
  const conninfo = await conninfoOf(replica);
  return conninfo === undefined ? undefined : parse(conninfo);
}

/** Begins to copy tables that are published since, and lets go of those that no longer are. */
async function followTables(
  { primary, replica }: Subscribing,
  { isEnabled, slot }: Subscription,
  login: string | undefined,
): Promise<void> {
  const published = await publishedTables(primary.admin);
  const subscribed = await subscribedTables(replica.admin);
  const added = published.filter((name) => !subscribed.some(({ table }) => table === name));
  const copied = subscribed.flatMap(({ table, isReady }) => (isReady ? [table] : []));
  // One that policies were put on since, and whose copy fails for it, goes on.
  if (login !== undefined)
    await showAll(
      primary,
      published.filter((table) => !copied.includes(table)),
      login,
      slot,
    );
  // What somebody else has subscribed to may not be readable yet.
  if (login !== undefined && copied.length < published.length) await allowCopy(primary, login);
  if (added.length === 0 && published.length === subscribed.length) return;
  if (!isEnabled) throw new SetupError(disabled(replica));
  if (subscribed.length === 0) await skipToNow(primary, replica, slot);
  await emptyTables(replica.admin, added);
  await alter(replica, 'refresh publication');
}

/**
 * A subscription without a table has nothing to lose, and may have been made before there was a publication: up to 17
 * PostgreSQL refuses to send it anything from then, for ever. Its slot goes on from now.
 */
async function skipToNow(primary: Server, replica: Server, slot: string | null): Promise<void> {
  const [found] = await primary.admin`select from pg_replication_slots where slot_name = ${slot}`;
  if (await isOthers(replica.admin)) throw new SetupError(tooEarly(replica));
  if (!found) throw new SetupError(slotless(replica, slot));
  await asReplicator(primary, (sql) =>
    atRest(replica.admin, () => sql`select pg_replication_slot_advance(${slot}, pg_current_wal_flush_lsn())`),
  );
}

const tooEarly = ({ name, at }: Server) =>
  `${name} (${at}): its subscription was made before there was anything to copy, and belongs to somebody else. ` +
  'Have them drop it, start again, and have them make it when set-up says that it waits for it.';

const slotless = ({ name, at }: Server, slot: string | null) =>
  `${name} (${at}): its subscription readback copies no table, and ${slot === null ? 'has no slot' : `its slot ${slot} is not on the primary`}. ` +
  'Drop it there, and have it made again with its slot (connect and create_slot are on by default).';

const disabled = ({ name, at }: Server) =>
  `${name} (${at}): its subscription is disabled, so it cannot begin to copy what is published now. ` +
  'Run there: alter subscription readback enable; then start again.';
