import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import { runFormatted } from '../setup/logins.ts';
import type { Server } from '../setup/requirements.ts';

/** PostgreSQL's walsender sees within this time that it was ended. */
const RELEASE_TIMEOUT_MS = 10_000;

/**
 * Drops the replica's subscription without asking the primary, which may be gone or have given up the slot. Returns the
 * slot that it had on the primary; undefined where there is no subscription.
 */
export async function dropSubscription({ admin }: Server): Promise<string | undefined> {
  const [row] = await admin<[{ slot: string | null }?]>`
    select subslotname::text as slot from pg_subscription
    where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database())`;
  if (!row) return undefined;
  await admin`alter subscription readback disable`;
  await admin`alter subscription readback set (slot_name = none)`;
  await admin`drop subscription readback`;
  return row.slot ?? undefined;
}

/** Drops a slot, whoever reads from it, and the login that set-up named like it. False: there was no such slot. */
export async function dropSlot(primary: Server, name: string): Promise<boolean> {
  const existed = await releaseSlot(primary, name);
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

/** Which of a slot and a login have this name. */
export async function leftOf({ admin }: Server, name: string): Promise<{ slot: boolean; login: boolean }> {
  const [left] = await admin<[{ slot: boolean; login: boolean }]>`
    select exists (select from pg_replication_slots where slot_name = ${name} and database = current_database()) as slot,
           exists (select from pg_roles where rolname = ${name}) as login`;
  return { slot: left.slot, login: left.login && isSlotName(name) };
}

async function releaseSlot({ admin }: Server, name: string): Promise<boolean> {
  for (const deadline = Date.now() + RELEASE_TIMEOUT_MS; ; await sleep(50)) {
    const [slot] = await admin<[{ reader: number | null }?]>`
      select active_pid as reader from pg_replication_slots
      where slot_name = ${name} and database = current_database()`;
    if (!slot) return false;
    if (await tryDrop(admin, name, slot.reader)) return true;
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

/** From PostgreSQL 16 on, who made a login is no member of it, as `drop owned` wants, but may become one. */
export async function dropReplicator(primary: Sql, name: string): Promise<void> {
  const [role] = await primary<[{ isMember: boolean; login: string }?]>`
    select pg_has_role(current_user, oid, 'usage') as is_member, current_user::text as login
    from pg_roles where rolname = ${name}`;
  if (!role || !isSlotName(name)) return;
  if (!role.isMember) await runFormatted(primary, 'grant %I to %I', name, role.login);
  await runFormatted(primary, 'drop owned by %I', name);
  await runFormatted(primary, 'drop role %I', name);
}
