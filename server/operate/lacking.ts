import type { Sql } from '../database/connect.ts';
import { refusalOf } from '../database/refusal.ts';
import { SetupError } from '../lib/errors.ts';
import type { Server } from '../setup/requirements.ts';
import { dropReplicator } from './detach.ts';

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
  if (faults.length > 0) throw new SetupError([...faults, REMEDY].join('\n'));
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
           rolsuper or rolreplication as may from pg_roles where rolname = current_user`;
  if (count === 0 || may) return [];
  return [await mayNot(primary, 'drop replication slots, which wants a superuser or the attribute replication')];
}

/** PostgreSQL itself is asked, as from version to version it wants other rights: the logins are dropped, and kept. */
async function loginFaults(primary: Server, names: string[]): Promise<string[]> {
  const faults = [];
  for (const name of names) {
    const refusal = refusalOf(await refused(primary.admin, name));
    if (refusal) faults.push(await mayNot(primary, `drop the login ${name}: ${refusal.reason}`));
  }
  return faults;
}

async function refused(sql: Sql, name: string): Promise<unknown> {
  const undone = new Error('a rehearsal');
  const rehearsal = sql.begin(async (transaction) => {
    await dropReplicator(transaction as unknown as Sql, name);
    throw undone;
  });
  const error: unknown = await rehearsal.catch((thrown: unknown) => thrown);
  if (error !== undone && !refusalOf(error)) throw error;
  return error;
}

/** Not rehearsed: dropping a subscription forgets at once, whatever becomes of the transaction, how far it is. */
async function subscriptionFaults(replica: Server): Promise<string[]> {
  const owned = await replica.admin`
    select from pg_subscription where subname = 'readback' and not pg_has_role(current_user, subowner, 'usage')
      and subdbid = (select oid from pg_database where datname = current_database())`;
  return owned.length === 0 ? [] : [await mayNot(replica, 'drop the subscription readback, which is of another owner')];
}
