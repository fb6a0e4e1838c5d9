import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../db/connect.ts';
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
  await dropReplicator(primary.admin, name);
  return existed;
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
  if (reader !== null) await primary`select pg_terminate_backend(${reader}, 1000)`;
  try {
    await primary`select pg_drop_replication_slot(${name})`;
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === OBJECT_IN_USE) return false;
    throw error;
  }
}

const OBJECT_IN_USE = '55006';

/** Of the form that set-up gives a replica's slot and login. */
export const isSlotName = (name: string): boolean => /^readback_[0-9a-f]{12}$/.test(name);

async function dropReplicator(primary: Sql, name: string): Promise<void> {
  const [role] = await primary`select from pg_roles where rolname = ${name}`;
  if (!role || !isSlotName(name)) return;
  await runFormatted(primary, 'drop owned by %I', name);
  await runFormatted(primary, 'drop role %I', name);
}
