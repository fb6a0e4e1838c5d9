import { setTimeout as sleep } from 'node:timers/promises';
import { quoted } from '../../database/connect.ts';
import { SetupError } from '../../lib/errors.ts';
import { identitiesOf, mismatches, whatDiffers, type ReplicaIdentity, type Mismatch } from '../../setup/stops.ts';
import type { OperatedServer, Servers } from '../../setup/servers.ts';
import { partsOf } from '../../setup/shapes.ts';
import { kind, type Finding, type Repair } from './finding.ts';

/** Whether a replica finds the rows that updates and deletes are of; it is told of the side that has it otherwise. */
export function checkIdentities(
  primary: { name: string; details?: { identities: ReplicaIdentity[] } },
  replica: string,
  identities: ReplicaIdentity[],
): Finding[] {
  return mismatches(primary.details?.identities ?? [], identities).map((one) =>
    unlike(one.side === 'primary' ? primary.name : replica, one),
  );
}

export const knowByKey: Repair = {
  name: 'known-by-key',
  does: (table) =>
    `have rows of ${table} known by the primary key again, after what was sent by the other one is applied`,
  run: async (server, { servers, config }, table) => {
    const [identity] = await identitiesOf(server.admin, [table]);
    if (!identity?.index) return;
    if (server === servers.primary) await setBackOnAll(servers, identity, config.INITIAL_COPY_TIMEOUT_MS);
    else await setBack(server, table);
  },
};

const unlike = kind('replica-identity', (mismatch: Mismatch) => ({
  found: whatDiffers(mismatch),
  expected: 'the primary key on both sides: else no update or delete can be applied',
  remedy: `Run readback doctor --fix: it sets the identity of ${mismatch.table} back to its key, and has applied what was sent under the other one.`,
  fix: knowByKey,
  subject: mismatch.table,
}));

const POLL_MS = 50;
const TEMPORARY = 'readback_identity';

/** The primary's is sent, and so everywhere. */
async function setBackOnAll(
  { primary, replicas }: Servers,
  identity: ReplicaIdentity,
  timeoutMs: number,
): Promise<void> {
  const tightened: string[][] = [];
  for (const replica of replicas) tightened.push(await lookBy(replica, identity));
  const at = await setBackAndBeat(primary, identity.table);
  for (const [index, replica] of replicas.entries()) {
    await arrived(replica, at, timeoutMs);
    await setBack(replica, identity.table, tightened[index]);
  }
}

/** `tightened`: columns that may be null again. */
async function setBack({ admin }: OperatedServer, table: string, tightened: string[] = []): Promise<void> {
  await admin.unsafe(`alter table ${table} replica identity default`);
  await admin.unsafe(`drop index if exists ${besides(table)}`);
  for (const name of tightened) await admin.unsafe(`alter table ${table} alter column ${quoted(name)} drop not null`);
}

/**
 * What the primary has sent so far names rows by those columns, whatever its identity is from now on: the replica looks
 * for them by an index of the same, until that is applied. PostgreSQL takes none for that of columns that may be null:
 * returns those that were, and may not be until then.
 */
async function lookBy({ admin }: OperatedServer, { table, columns }: ReplicaIdentity): Promise<string[]> {
  const list = columns!.map(quoted).join(', ');
  const nullable = await admin<{ name: string }[]>`
    select attname::text as name from pg_attribute
    where attrelid = ${table}::regclass and attname in ${admin(columns!)} and not attnotnull`;
  const names = nullable.map(({ name }) => name);
  await admin.begin((sql) => [
    sql.unsafe(`drop index if exists ${besides(table)}`),
    ...names.map((name) => sql.unsafe(`alter table ${table} alter column ${quoted(name)} set not null`)),
    sql.unsafe(`create unique index ${TEMPORARY} on ${table} (${list})`),
    sql.unsafe(`alter table ${table} replica identity using index ${TEMPORARY}`),
  ]);
  return names;
}

const besides = (table: string) => `${partsOf(table)[0]}.${TEMPORARY}`;

/** In one transaction: what comes before it in the order of commits names rows by the index, and what comes after by the key. */
async function setBackAndBeat({ admin }: OperatedServer, table: string): Promise<string> {
  const [, [beat]] = await admin.begin((sql) => [
    sql.unsafe(`alter table ${table} replica identity default`),
    sql<[{ at: string }]>`update readback.heartbeat set beat_at = clock_timestamp() returning beat_at::text as at`,
  ]);
  return beat.at;
}

async function arrived({ name, admin }: OperatedServer, at: string, timeoutMs: number): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(POLL_MS)) {
    const rows = await admin`select from readback.heartbeat where beat_at >= ${at}::text::timestamptz`;
    if (rows.length > 0) return;
    if (Date.now() > deadline)
      throw new SetupError(
        `${name} has not applied what was sent before within ${timeoutMs} ms. Run there when it has: alter table … replica identity default;`,
      );
  }
}
