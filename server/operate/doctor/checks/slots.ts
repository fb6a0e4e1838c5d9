import type { Facts, LongTransaction, PrimaryDetails, ReplicaFacts, Slot } from '../facts.ts';
import type { Finding } from '../finding.ts';

/** What the primary keeps for its replicas, and for how long. */
export function checkSlots({ primary, replicas }: Facts, maxWalBytes: number): Finding[] {
  const { details, name } = primary;
  if (!details) return [];
  return [
    ...replicas.flatMap((replica) => checkSlotOf(replica, details, maxWalBytes)),
    ...shared(replicas),
    ...orphaned(name, details.slots, replicas),
    ...details.transactions.map((transaction) => longTransaction(name, transaction)),
    ...limits(name, details, maxWalBytes),
  ];
}

const slotOf = ({ details }: ReplicaFacts) => details?.subscription?.slot ?? undefined;

function checkSlotOf(replica: ReplicaFacts, { slots }: PrimaryDetails, maxWalBytes: number): Finding[] {
  if (!replica.details?.subscription) return [];
  const name = slotOf(replica);
  const slot = slots.find((one) => one.name === name);
  if (!slot) return [gone(replica.name, 'slot-missing', `the primary has no slot ${name ?? '(none is named)'}`)];
  if (slot.walStatus === 'lost') return [gone(replica.name, 'slot-lost', `the primary has given up ${describe(slot)}`)];
  if (slot.walStatus === 'unreserved') return [losing(replica.name, slot)];
  return (slot.heldBytes ?? 0) > maxWalBytes ? [holding(replica.name, slot, maxWalBytes)] : [];
}

const describe = ({ name, invalidationReason }: Slot) =>
  invalidationReason === null ? `the slot ${name}` : `the slot ${name} (${invalidationReason})`;

const gone = (server: string, check: 'slot-missing' | 'slot-lost', found: string): Finding => ({
  check,
  severity: 'error',
  server,
  found,
  expected: "the subscription's slot, which keeps what the replica has yet to apply",
  remedy: 'What it kept is lost: all tables must be copied again. readback doctor --fix does it.',
  fix: { name: 'copy-again', server },
});

const losing = (server: string, { name }: Slot): Finding => ({
  check: 'slot-losing',
  severity: 'error',
  server,
  found: `the slot ${name} holds more WAL than max_slot_wal_keep_size, and the primary is about to give it up`,
  expected: 'a replica that keeps up',
  remedy:
    'Get the replica to apply now, or run on the primary: alter system set max_slot_wal_keep_size = …; select pg_reload_conf();',
});

const holding = (server: string, { name, heldBytes, isActive }: Slot, maxWalBytes: number): Finding => ({
  check: 'slot-wal',
  severity: 'warning',
  server,
  found: `the slot ${name} holds ${megabytes(heldBytes ?? 0)} of the primary's WAL${isActive ? '' : ', and nobody reads it'}`,
  expected: `at most ${megabytes(maxWalBytes)}`,
  remedy: 'Find out why the replica does not apply. A replica that will not come back: readback replica drop',
});

function shared(replicas: ReplicaFacts[]): Finding[] {
  const groups = Map.groupBy(replicas.filter(slotOf), slotOf);
  return [...groups].flatMap(([slot, users]) =>
    users.length < 2
      ? []
      : [
          {
            check: 'slot-shared' as const,
            severity: 'error' as const,
            server: users[1]!.name,
            found: `it reads from the slot ${slot}, as ${users[0]!.name} does`,
            expected: 'a slot for each replica: each change goes to one of the two only',
            remedy:
              'One is named twice, or is a copy of the other: correct REPLICA_URLS, or make the copy with initdb and readback replica add.',
          },
        ],
  );
}

/** Only where every replica was asked: the slot may be of the one that does not answer. */
function orphaned(server: string, slots: Slot[], replicas: ReplicaFacts[]): Finding[] {
  if (replicas.some(({ basics, details }) => details === undefined && basics?.isSetUp !== false)) return [];
  const used = new Set(replicas.map(slotOf));
  return slots
    .filter(({ name, isActive }) => !isActive && !used.has(name))
    .map(({ name, heldBytes }) => ({
      check: 'slot-orphaned',
      severity: 'warning',
      server,
      found: `nobody reads the slot ${name}, which holds ${megabytes(heldBytes ?? 0)} of WAL`,
      expected: 'a slot for each replica that is configured, and no other',
      remedy: `If its replica will not come back: readback replica drop ${name}`,
      fix: { name: 'drop-slot', server, subject: name },
    }));
}

const longTransaction = (server: string, { pid, what, ms }: LongTransaction): Finding => ({
  check: 'long-transaction',
  severity: 'warning',
  server,
  found: `a transaction is open for ${Math.round(ms / 1000)} s: ${pid === null ? what : `process ${pid}, ${what}`}`,
  expected: 'short ones: until it ends, slots keep the WAL from its beginning on, and no copy of a table begins',
  remedy:
    pid === null
      ? 'Run there: commit prepared or rollback prepared.'
      : `End it where it was begun, or run there: select pg_terminate_backend(${pid});`,
});

/** Advice on what the primary itself does, with nobody there to warn it. */
function limits(server: string, details: PrimaryDetails, maxWalBytes: number): Finding[] {
  const { maxSlotWalKeepSize, idleSlotTimeoutS } = details;
  const advice = (
    check: 'wal-limit' | 'idle-slot-limit',
    found: string,
    expected: string,
    setting: string,
  ): Finding => ({
    check,
    severity: 'advice',
    server,
    found,
    expected,
    remedy: `Run there: alter system set ${setting}; select pg_reload_conf();`,
  });
  const findings: Finding[] = [];
  if (maxSlotWalKeepSize < 0) findings.push(advice('wal-limit', UNLIMITED, ROOM, "max_slot_wal_keep_size = '10GB'"));
  else if (maxSlotWalKeepSize * 1_048_576 <= maxWalBytes) {
    const found = `max_slot_wal_keep_size = ${maxSlotWalKeepSize} MB: a slot is given up before anybody is warned of it`;
    const more = `more than SLOT_WAL_WARN_BYTES, which is ${megabytes(maxWalBytes)}`;
    findings.push(advice('wal-limit', found, more, "max_slot_wal_keep_size = '10GB'"));
  }
  if (idleSlotTimeoutS === 0)
    findings.push(advice('idle-slot-limit', IDLE, LONGEST_ABSENCE, "idle_replication_slot_timeout = '1d'"));
  return findings;
}

const UNLIMITED = 'max_slot_wal_keep_size = -1: a replica that stays away fills the disk of the primary';
const ROOM = 'what the disk has room for; a replica that stays away for longer is then copied again';
const IDLE =
  'idle_replication_slot_timeout = 0: a slot that nobody reads is kept for ever, with its WAL, and keeps vacuum from the catalogs';
const LONGEST_ABSENCE = 'the longest time that a replica may be away before it is copied again';

const megabytes = (bytes: number) => `${(bytes / 1_048_576).toFixed(1)} MB`;
