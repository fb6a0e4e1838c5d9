import type { Config } from '../../boot/config.ts';
import type { Sql } from '../../database/connect.ts';
import { slotsOf, type Slot } from '../../database/sql/slots.ts';
import { mayStream } from '../../setup/logins.ts';
import { toGrant, toReplicate, toSet, type Provider } from '../../setup/providers.ts';
import { dropSlot } from '../attach.ts';
import { kind, megabytes, type Finding, type Repair } from './finding.ts';
import type { Looked } from './servers.ts';
import { copyAgain } from './subscription.ts';

/** What the primary keeps for its replicas, and for how long. */
export interface SlotFacts {
  slots: Slot[];
  /** In MB; -1: no limit. */
  maxSlotWalKeepSize: number;
  /** In seconds; 0: no limit; null: before PostgreSQL 18, which has none. */
  idleSlotTimeoutS: number | null;
  transactions: LongTransaction[];
  /** Only where the server is told to give slots up. */
  giver?: Giver;
}

/** As whom readback.give_up_slot runs. */
interface Giver {
  login: string;
  mayDrop: boolean;
  /** Logins that read from the slots, and whose sessions it may not end. */
  mayNotEnd: string[];
}

interface LongTransaction {
  /** null: prepared, of no process. */
  pid: number | null;
  what: string;
  ms: number;
}

/** The slot that a replica reads from. */
type Reader = Looked<{ subscription: { slot: string | null } | null }>;

export async function lookAtSlots(
  sql: Sql,
  longTransactionMs: number,
  action: Config['SLOT_ACTION'],
): Promise<SlotFacts> {
  const giver = action === 'drop' ? await giverOf(sql) : undefined;
  const [limits] = await sql<[Pick<SlotFacts, 'maxSlotWalKeepSize' | 'idleSlotTimeoutS'>]>`
    select (select setting::int from pg_settings where name = 'max_slot_wal_keep_size') as max_slot_wal_keep_size,
           extract(epoch from nullif(current_setting('idle_replication_slot_timeout', true), '')::interval)::float as idle_slot_timeout_s`;
  const transactions = await longTransactions(sql, longTransactionMs);
  return { slots: await slotsOf(sql), ...limits, transactions, ...(giver && { giver }) };
}

/** Undefined: the function is not there. */
async function giverOf(sql: Sql): Promise<Giver | undefined> {
  const [giver] = await sql<Giver[]>`
    select u.rolname::text as login, ${mayStream(sql)} as may_drop, array(
      select distinct r.rolname::text from pg_replication_slots s
      join pg_stat_activity a on a.pid = s.active_pid join pg_roles r on r.oid = a.usesysid
      where s.database = current_database() and s.slot_name like 'readback\\_%' and not u.rolsuper
        and not pg_has_role(u.oid, r.oid, 'usage')
        and (r.rolsuper or not pg_has_role(u.oid, 'pg_signal_backend', 'usage'))) as may_not_end
    from pg_proc p join pg_roles u on u.oid = p.proowner
    where p.oid = to_regprocedure('readback.give_up_slot(text, bigint)')`;
  return giver;
}

/** They keep WAL from being let go, and a table's copy from beginning. Other databases' do, too. */
function longTransactions(sql: Sql, longerThanMs: number): Promise<LongTransaction[]> {
  return sql<LongTransaction[]>`
    select * from (
      select pid, format('%s of %s, %s', nullif(application_name, ''), usename, state) as what,
             extract(epoch from clock_timestamp() - xact_start)::float * 1000 as ms
      from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
        and (backend_xid is not null or backend_xmin is not null)
      union all
      select null, format('prepared as %s by %s', gid, owner), extract(epoch from clock_timestamp() - prepared)::float * 1000
      from pg_prepared_xacts
    ) open where ms > ${longerThanMs} order by ms desc limit 10`;
}

export function checkSlots(primary: Looked<SlotFacts>, replicas: Reader[], maxWalBytes: number): Finding[] {
  const { name, details, basics } = primary;
  if (!details) return [];
  const provider = basics?.provider ?? null;
  const { slots, transactions, idleSlotTimeoutS, giver } = details;
  return [
    ...replicas.flatMap((replica) => checkSlotOf(replica, slots, maxWalBytes, provider)),
    ...shared(replicas),
    ...orphaned(slots, replicas).map((slot) => orphan(name, slot)),
    ...transactions.map((transaction) => longTransaction(name, transaction)),
    ...checkLimit(name, details, maxWalBytes, provider),
    ...(giver && (!giver.mayDrop || giver.mayNotEnd.length > 0) ? [cannotGiveUp(name, giver, provider)] : []),
    ...(idleSlotTimeoutS === 0 ? [idleFor(name, provider)] : []),
  ];
}

const slotOf = ({ details }: Reader) => details?.subscription?.slot ?? undefined;

function checkSlotOf(replica: Reader, slots: Slot[], maxWalBytes: number, provider: Provider | null): Finding[] {
  if (!replica.details?.subscription) return [];
  const wanted = slotOf(replica);
  const slot = slots.find(({ name }) => name === wanted);
  if (!slot) return [noSlot(replica.name, wanted)];
  if (slot.walStatus === 'lost') return [lost(replica.name, slot)];
  if (slot.walStatus === 'unreserved') return [losing(replica.name, slot, provider)];
  return (slot.heldBytes ?? 0) > maxWalBytes ? [holding(replica.name, slot, maxWalBytes)] : [];
}

function shared(replicas: Reader[]): Finding[] {
  const groups = [...Map.groupBy(replicas.filter(slotOf), slotOf)];
  return groups.flatMap(([slot, [one, other]]) => (other ? [sharing(other.name, slot!, one!.name)] : []));
}

/** Only where every replica was asked: the slot may be of the one that does not answer. */
function orphaned(slots: Slot[], replicas: Reader[]): Slot[] {
  if (replicas.some(({ basics, details }) => details === undefined && basics?.isSetUp !== false)) return [];
  const used = new Set(replicas.map(slotOf));
  return slots.filter(({ name, isActive }) => !isActive && !used.has(name));
}

/** What the primary does by itself, with nobody there to warn it. */
function checkLimit(
  server: string,
  { maxSlotWalKeepSize: most }: SlotFacts,
  maxWalBytes: number,
  provider: Provider | null,
): Finding[] {
  if (most < 0) return [unlimited(server, provider)];
  return most * 1_048_576 <= maxWalBytes ? [tooSmall(server, provider, most, maxWalBytes)] : [];
}

const lastOfSlot = {
  expected: "the subscription's slot, which keeps what the replica has yet to apply",
  remedy: 'What it kept is lost: all tables must be copied again. readback doctor --fix does it.',
  fix: copyAgain,
};

const noSlot = kind('slot-missing', (name: string | undefined) => ({
  found: `the primary has no slot ${name ?? '(none is named)'}`,
  ...lastOfSlot,
}));

const lost = kind('slot-lost', ({ name, invalidationReason: reason }: Slot) => ({
  found: `the primary has given up the slot ${name}${reason === null ? '' : ` (${reason})`}`,
  ...lastOfSlot,
}));

const losing = kind('slot-losing', ({ name }: Slot, provider: Provider | null) => ({
  found: `the slot ${name} holds more WAL than max_slot_wal_keep_size, and the primary is about to give it up`,
  expected: 'a replica that keeps up',
  remedy: `Get the replica to apply now. Or on the primary: ${toSet(provider, 'max_slot_wal_keep_size', '…', 'reload')}`,
}));

const holding = kind('slot-wal', ({ name, heldBytes, isActive }: Slot, maxWalBytes: number) => ({
  severity: 'warning',
  found: `the slot ${name} holds ${megabytes(heldBytes)} of the primary's WAL${isActive ? '' : ', and nobody reads it'}`,
  expected: `at most ${megabytes(maxWalBytes)}`,
  remedy: 'Find out why the replica does not apply. A replica that will not come back: readback replica drop',
}));

const sharing = kind('slot-shared', (slot: string, other: string) => ({
  found: `it reads from the slot ${slot}, as ${other} does`,
  expected: 'a slot for each replica: each change goes to one of the two only',
  remedy:
    'One is named twice, or is a copy of the other: correct REPLICA_URLS, or make the copy with initdb and readback replica add.',
}));

export const dropOrphan: Repair = {
  name: 'drop-slot',
  does: (slot) =>
    `drop the slot ${slot} and the login of that name: a replica that still needs it must be copied again`,
  run: (primary, _, slot) => dropSlot(primary, slot),
};

const orphan = kind('slot-orphaned', ({ name, heldBytes }: Slot) => ({
  severity: 'warning',
  found: `nobody reads the slot ${name}, which holds ${megabytes(heldBytes)} of WAL`,
  expected: 'a slot for each replica that is configured, and no other',
  remedy: `If its replica will not come back: readback replica drop ${name}`,
  fix: dropOrphan,
  subject: name,
}));

const longTransaction = kind('long-transaction', ({ pid, what, ms }: LongTransaction) => ({
  severity: 'warning',
  found: `a transaction is open for ${Math.round(ms / 1000)} s: ${pid === null ? what : `process ${pid}, ${what}`}`,
  expected: 'short ones: until it ends, slots keep the WAL from its beginning on, and no copy of a table begins',
  remedy:
    pid === null
      ? 'Run there: commit prepared or rollback prepared.'
      : `End it where it was begun, or run there: select pg_terminate_backend(${pid});`,
}));

const unlimited = kind('wal-limit', (provider: Provider | null) => ({
  severity: 'advice',
  found: 'max_slot_wal_keep_size = -1: a replica that stays away fills the disk of the primary',
  expected: 'what the disk has room for; a replica that stays away for longer is then copied again',
  remedy: toSet(provider, 'max_slot_wal_keep_size', "'10GB'", 'reload'),
}));

const tooSmall = kind('wal-limit', (provider: Provider | null, megabytesKept: number, maxWalBytes: number) => ({
  severity: 'advice',
  found: `max_slot_wal_keep_size = ${megabytesKept} MB: a slot is given up before anybody is warned of it`,
  expected: `more than SLOT_WAL_WARN_BYTES, which is ${megabytes(maxWalBytes)}`,
  remedy: toSet(provider, 'max_slot_wal_keep_size', "'10GB'", 'reload'),
}));

const idleFor = kind('idle-slot-limit', (provider: Provider | null) => ({
  severity: 'advice',
  found:
    'idle_replication_slot_timeout = 0: a slot that nobody reads is kept for ever, with its WAL, and keeps vacuum from the catalogs',
  expected: 'the longest time that a replica may be away before it is copied again',
  remedy: toSet(provider, 'idle_replication_slot_timeout', "'1d'", 'reload'),
}));

const cannotGiveUp = kind('slot-action', ({ login, mayDrop, mayNotEnd }: Giver, provider: Provider | null) => ({
  severity: 'warning',
  found: `SLOT_ACTION is drop, and the server cannot do it: readback.give_up_slot runs as ${login}, which may not ${mayDrop ? `end the sessions of ${mayNotEnd.join(', ')}` : 'drop replication slots'}`,
  expected: 'an owner of the schema readback that may replicate, and end who reads from the slots',
  remedy: `${mayDrop ? toGrant(provider, `grant pg_signal_backend to ${login}`) : toReplicate(provider, login)} Or have the primary give slots up itself: ${toSet(provider, 'max_slot_wal_keep_size', "'10GB'", 'reload')}`,
}));
