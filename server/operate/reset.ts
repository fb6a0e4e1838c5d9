import { slotsOf } from '../database/sql/slots.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { publishedTables } from '../setup/shapes.ts';
import { reachableOf, unreachable, type OperatedServer, type Server, type Servers } from '../setup/servers.ts';
import { assertMayTake, dropSlot, dropSubscription, loginsLeft, mayNot } from './attach.ts';
import type { SetupConfig } from '../setup/setup.ts';

export interface ResetOptions extends SetupConfig {
  /** The tables that are published go, too, with all rows, on all servers. */
  tables: boolean;
}

/** What is under way: `dropped` are the published tables, where they go, too. */
interface Reset {
  servers: Servers;
  dropped: string[];
  timeoutMs: number;
  say: Say;
}

/** Takes Readback out of the databases; says what it did, and what it leaves. */
export async function reset(servers: Servers, options: ResetOptions, say: Say): Promise<void> {
  const { primary, replicas } = servers;
  const reason = await unreachable(primary, options.DB_CONNECT_TIMEOUT_MS);
  if (reason !== undefined)
    throw new SetupError(`primary (${primary.at}) cannot be used: ${reason}. Nothing was changed.`);
  const tables = (await publishedTables(primary.admin)).filter((table) => !table.startsWith('readback.'));
  const job = { servers, dropped: options.tables ? tables : [], timeoutMs: options.DB_CONNECT_TIMEOUT_MS, say };
  const what = options.tables
    ? 'the schema readback and the tables'
    : 'and the schema readback with its triggers on the tables';
  await assertMayReset(job);
  for (const replica of replicas) await resetReplica(replica, job, what);
  await resetPrimary(job, what);
  if (!options.tables && tables.length > 0) say(`Left: ${tables.join(', ')} with all rows. ${STAYING}`);
  say(
    'Left: the roles readback_writer, readback_reader and readback_pruner, and the login: other databases may use them.',
  );
}

const STAYING =
  'Before the next readback migrate, rename or drop those of the replicas, which it makes and copies again. ' +
  'Those of the primary may stay where their file in sql/primary says create table if not exists, as readback add writes it.';

/** In part it is hard to tell from damage. */
async function assertMayReset({ servers: { primary, replicas }, dropped, timeoutMs }: Reset): Promise<void> {
  const there = await reachableOf(replicas, timeoutMs);
  const names = [...(await slotsOf(primary.admin)).map(({ name }) => name), ...(await loginsLeft(primary))];
  const others = await Promise.all([primary, ...there].map((server) => notOwned(server, dropped)));
  await assertMayTake({ primary, names, replicas: there }, others.flat());
}

async function notOwned(server: Server, tables: string[]): Promise<string[]> {
  const rows = await server.admin<{ what: string }[]>`
    select 'the schema readback' as what from pg_namespace
      where nspname = 'readback' and not pg_has_role(current_user, nspowner, 'usage')
    union all select 'the publication readback' from pg_publication
      where pubname = 'readback' and not pg_has_role(current_user, pubowner, 'usage')
    union all select 'the table ' || t.name from jsonb_array_elements_text(${server.admin.json(tables)}) as t(name)
      join pg_class c on c.oid = to_regclass(t.name) where not pg_has_role(current_user, relowner, 'usage')`;
  return Promise.all(rows.map(({ what }) => mayNot(server, `drop ${what}, of which it is not the owner`)));
}

async function resetReplica(replica: OperatedServer, { servers, dropped, timeoutMs, say }: Reset, what: string) {
  const place = `${replica.name} (${replica.at})`;
  const reason = await unreachable(replica, timeoutMs);
  if (reason !== undefined) return say(`Left: ${place} as it is, as it does not answer: ${reason}`);
  const slot = await dropSubscription(replica);
  if (slot !== undefined) await dropSlot(servers.primary, slot);
  await removeFrom(replica, dropped);
  say(`${place}: dropped the subscription, ${what}`);
}

/** No publication, so no slot of Readback's in this database is of use any more, whoever's it is. */
async function resetPrimary({ servers: { primary }, dropped, say }: Reset, what: string): Promise<void> {
  for (const { name } of await slotsOf(primary.admin)) {
    if (await dropSlot(primary, name)) say(`primary (${primary.at}): dropped the slot ${name}`);
  }
  for (const name of await loginsLeft(primary)) await dropSlot(primary, name);
  await primary.admin`drop publication if exists readback`;
  await removeFrom(primary, dropped);
  say(`primary (${primary.at}): dropped the publication, ${what}`);
}

async function removeFrom({ admin }: OperatedServer, tables: string[]): Promise<void> {
  if (tables.length > 0) await admin.unsafe(`drop table if exists ${tables.join(', ')} cascade`);
  await admin`drop schema if exists readback cascade`;
}
