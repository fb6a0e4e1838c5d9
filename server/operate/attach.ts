import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseConfig } from '../boot/config.ts';
import type { Sql } from '../database/connect.ts';
import { refusalOf, type Refusal } from '../database/refusal.ts';
import { isSubscribed, subscriptionOf } from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { completeLogs } from '../setup/log-state.ts';
import { asReplicator, becomeMember, mayStream, runFormatted } from '../setup/logins.ts';
import { rehearsed } from '../setup/rehearsal.ts';
import { isOthers, subscribeReplica } from '../setup/replicate.ts';
import { reachableOf, type OperatedServer, type Server, type Servers } from '../setup/servers.ts';
import { replicationUrl, subscribingAs, type SetupConfig } from '../setup/setup.ts';

export interface Attaching {
  servers: Servers;
  databases: DatabaseConfig;
  config: SetupConfig;
  say: Say;
}

/** Set-up and repairs of the same system take turns: the lock is the session's, and goes with it. */
export async function lockSetup({ admin }: OperatedServer): Promise<void> {
  const [row] = await admin<
    [{ locked: boolean }]
  >`select pg_try_advisory_lock(hashtextextended('readback.setup', 0)) as locked`;
  if (!row.locked)
    throw new SetupError('Somebody else sets these databases up at the moment: try again when that has ended.');
}

/** Subscribes the replica, or repairs its subscription, and returns when all that it takes is copied. */
export async function attach(replica: OperatedServer, { servers, databases, config, say }: Attaching): Promise<void> {
  const pair = { primary: servers.primary, replica, ...subscribingAs(config) };
  await subscribeReplica(pair, replicationUrl(databases));
  await completeReachable({ servers, databases, config, say });
}

/** A log begins to be good when all copies have ended; a replica that is away has its log noted by the next set-up. */
export async function completeReachable({ servers, config, say }: Attaching): Promise<void> {
  const replicas = await subscribedOf(await reachableOf(servers.replicas, config.DB_CONNECT_TIMEOUT_MS));
  await completeLogs(servers.primary, replicas, config.INITIAL_COPY_TIMEOUT_MS, say);
}

async function subscribedOf(replicas: OperatedServer[]): Promise<OperatedServer[]> {
  const found = await Promise.all(replicas.map(({ admin }) => isSubscribed(admin)));
  return replicas.filter((_, index) => found[index]);
}

/** PostgreSQL's walsender sees within this time that it was ended. */
const RELEASE_TIMEOUT_MS = 10_000;

/**
 * Drops the replica's subscription without asking the primary, which may be gone or have given up the slot. Returns the
 * slot that it had on the primary; undefined where there is no subscription.
 */
export async function dropSubscription(replica: Server): Promise<string | undefined> {
  const { admin } = replica;
  const subscription = await subscriptionOf(admin);
  if (!subscription) return undefined;
  const faults = await subscriptionFaults(replica);
  if (faults.length > 0) throw new SetupError(faults.join('\n'));
  await admin`alter subscription readback disable`;
  await admin`alter subscription readback set (slot_name = none)`;
  await admin`drop subscription readback`;
  return subscription.slot ?? undefined;
}

/** Drops a slot, whoever reads from it, and the login that set-up named like it. False: there was no such slot. */
export async function dropSlot(primary: Server, name: string): Promise<boolean> {
  const existed = await asReplicator(primary, (sql) => releaseSlot(sql, name));
  await primary.admin.begin((sql) => dropReplicator(sql as unknown as Sql, name));
  return existed;
}

/**
 * Logins of the form that have rights in this database and no slot anywhere: what a drop that was cut short has left.
 * Other databases' are theirs.
 */
export async function loginsLeft({ admin }: Server): Promise<string[]> {
  const rows = await admin<{ name: string }[]>`
    select rolname::text as name from pg_roles r where rolname ~ ${SLOT_NAME.source}
      and exists (select from pg_shdepend d join pg_database b on b.oid = d.dbid
        where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and b.datname = current_database())
      and not exists (select from pg_replication_slots where slot_name = rolname)
    order by 1`;
  return rows.map(({ name }) => name);
}

/** Which of a slot and a login have this name, in words; undefined: neither. */
export async function leftOf({ admin }: Server, name: string): Promise<string | undefined> {
  const [left] = await admin<[{ slot: boolean; login: boolean }]>`
    select exists (select from pg_replication_slots where slot_name = ${name} and database = current_database()) as slot,
           exists (select from pg_roles where rolname = ${name}) as login`;
  const there = [...(left.slot ? ['slot'] : []), ...(left.login && isSlotName(name) ? ['login'] : [])];
  return there.length === 0 ? undefined : `${there.join(' and ')} ${name}`;
}

async function releaseSlot(primary: Sql, name: string): Promise<boolean> {
  for (const deadline = Date.now() + RELEASE_TIMEOUT_MS; ; await sleep(50)) {
    const [slot] = await primary<[{ reader: number | null }?]>`
      select active_pid as reader from pg_replication_slots
      where slot_name = ${name} and database = current_database()`;
    if (!slot) return false;
    if (await tryDrop(primary, name, slot.reader)) return true;
    if (Date.now() > deadline) throw new SetupError(`The slot ${name} is still read from, by process ${slot.reader}.`);
  }
}

/** Its reader may have come back, or not be gone yet. */
async function tryDrop(primary: Sql, name: string, reader: number | null): Promise<boolean> {
  // Who may not end it waits for it to leave.
  if (reader !== null)
    await primary`
      select pg_terminate_backend(pid, 1000) from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
      where pid = ${reader} and (pg_has_role(current_user, usesysid, 'usage')
        or not rolsuper and pg_has_role(current_user, 'pg_signal_backend', 'usage'))`;
  try {
    await primary`select pg_drop_replication_slot(${name})`;
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === OBJECT_IN_USE) return false;
    throw error;
  }
}

const OBJECT_IN_USE = '55006';

/** The form that set-up gives a replica's slot and login. */
const SLOT_NAME = /^readback_[0-9a-f]{12}$/;

export const isSlotName = (name: string): boolean => SLOT_NAME.test(name);

async function dropReplicator(primary: Sql, name: string): Promise<void> {
  const [role] = await primary`select from pg_roles where rolname = ${name}`;
  if (!role || !isSlotName(name)) return;
  await becomeMember(primary, name);
  await runFormatted(primary, 'drop owned by %I', name);
  await runFormatted(primary, 'drop role %I', name);
}

/** What is to be taken away, and by whom. */
export interface Taking {
  primary: Server;
  /** Their slots, and logins of the same names. */
  names: string[];
  /** Whose subscriptions go. */
  replicas: Server[];
}

/**
 * Half of it is worse than nothing: a slot without its subscription fills the primary's disk. So whoever may not do all of
 * it does nothing.
 * @throws SetupError with a line for each right that is missing.
 */
export async function assertMayTake({ primary, names, replicas }: Taking, others: string[] = []): Promise<void> {
  const faults = [
    ...(await slotFaults(primary, names)),
    ...(await loginFaults(primary, names)),
    ...(await Promise.all(replicas.map(subscriptionFaults))).flat(),
    ...others,
  ];
  if (faults.length > 0) throw new SetupError(`${faults.join('.\n')}. ${REMEDY}`);
}

const REMEDY =
  "Nothing was changed. Give these logins the rights, or name a superuser's in PRIMARY_ADMIN_URL and REPLICA_ADMIN_URLS.";

/** A line of what a login may not do there. */
export const mayNot = async ({ name, at, admin }: Server, what: string): Promise<string> => {
  const [{ login }] = await admin<[{ login: string }]>`select current_user::text as login`;
  return `${name} (${at}): the login ${login} may not ${what}`;
};

async function slotFaults(primary: Server, names: string[]): Promise<string[]> {
  const [{ count, may }] = await primary.admin<[{ count: number; may: boolean }]>`
    select (select count(*)::int from pg_replication_slots
            where slot_name = any(array(select jsonb_array_elements_text(${primary.admin.json(names)})))) as count,
           ${mayStream(primary.admin)} as may from pg_roles u where rolname = current_user`;
  if (count === 0 || may || primary.replicator !== undefined) return [];
  return [await mayNot(primary, 'drop replication slots, which wants a superuser or the attribute replication')];
}

/** PostgreSQL itself is asked, as from version to version it wants other rights: the logins are dropped, and kept. */
async function loginFaults(primary: Server, names: string[]): Promise<string[]> {
  const faults = [];
  for (const name of names) {
    const refusal = await refusalToDrop(primary.admin, name);
    if (refusal) faults.push(await mayNot(primary, `drop the login ${name}: ${refusal.reason}`));
  }
  return faults;
}

async function refusalToDrop(sql: Sql, name: string): Promise<Refusal | undefined> {
  try {
    await rehearsed(sql, (transaction) => dropReplicator(transaction, name));
    return undefined;
  } catch (error) {
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    return refusal;
  }
}

/** Not rehearsed: dropping a subscription forgets at once, whatever becomes of the transaction, how far it is. */
async function subscriptionFaults(replica: Server): Promise<string[]> {
  if (!(await isOthers(replica.admin))) return [];
  return [await mayNot(replica, 'drop the subscription readback, which is of another owner')];
}
