import type { Facts, HostFacts, PrimaryFacts, ReplicaFacts } from '../facts.ts';
import type { Finding } from '../finding.ts';

/** Whether the replicas are of the primary's history, and, where it has standbys, would go on from one. */
export function checkFailover({ primary, replicas }: Facts): Finding[] {
  return [
    ...replicas.flatMap(ahead),
    ...(primary.hosts ? [...checkHosts(primary, primary.hosts), ...checkSlotsKept(primary, replicas)] : []),
  ];
}

function ahead({ name, details }: ReplicaFacts): Finding[] {
  if (!details?.aheadBytes) return [];
  return [
    {
      check: 'replica-ahead',
      severity: 'error',
      server: name,
      found: `it has applied ${details.aheadBytes} bytes of WAL that are not of the primary's history, as far as can be told`,
      expected:
        'a replica that is behind: this one holds what a failover, or a recovery to an earlier point, has undone',
      remedy: 'All tables must be copied again. readback doctor --fix does it.',
      fix: { name: 'copy-again', server: name },
    },
  ];
}

function checkHosts({ name }: PrimaryFacts, hosts: HostFacts[]): Finding[] {
  const primaries = hosts.filter(({ isStandby }) => isStandby === false);
  return [
    ...(primaries.length > 1 ? [twoPrimaries(name, primaries)] : []),
    ...hosts.flatMap((host) => checkHost(name, host)),
  ];
}

const twoPrimaries = (server: string, hosts: HostFacts[]): Finding => ({
  check: 'two-primaries',
  severity: 'error',
  server,
  found: `${hosts.map(({ at }) => at).join(' and ')} both take writes`,
  expected: 'one primary: what is written to the other is lost',
  remedy:
    'Stop the one that was the primary before at once, and make it a standby of the other (pg_rewind or pg_basebackup).',
});

function checkHost(server: string, { at, unreachable, isStandby, unset = [] }: HostFacts): Finding[] {
  if (unreachable !== undefined) return [away(server, at, unreachable)];
  return isStandby && unset.length > 0 ? [settings(server, at, unset)] : [];
}

const away = (server: string, at: string, reason: string): Finding => ({
  check: 'standby-away',
  severity: 'warning',
  server,
  found: `${at} does not answer: ${reason}`,
  expected: 'the primary or a hot standby on every host of PRIMARY_URL',
  remedy: 'Start it as a standby, or take it out of the URLs.',
});

const settings = (server: string, at: string, unset: string[]): Finding => ({
  check: 'standby-settings',
  severity: 'warning',
  server,
  found: `${at} is a standby without ${unset.join(', ')}`,
  expected:
    'hot_standby_feedback = on, primary_slot_name, and from PostgreSQL 17 on sync_replication_slots = on: else it cannot keep the slots',
  remedy: `Set them there, see docs/failover.md; without, each replica is copied again after a failover.`,
});

/** The slots of the replicas, on the primary and on its standbys. */
function checkSlotsKept({ name, hosts = [], details, basics }: PrimaryFacts, replicas: ReplicaFacts[]): Finding[] {
  if (!details) return [];
  if (basics!.version < 170_000) return [tooOld(name, basics!.version)];
  const standbys = hosts.filter(({ isStandby }) => isStandby);
  const notKept = replicas.flatMap((replica) => {
    const slot = details.slots.find((one) => one.name === replica.details?.subscription?.slot);
    if (!slot) return [];
    if (!slot.isFailover) return [notKeepable(replica.name, slot.name)];
    return standbys
      .filter(({ keeps = [] }) => !keeps.includes(slot.name))
      .map(({ at }) => notYetKept(replica.name, slot.name, at));
  });
  return [...notKept, ...(details.standbySlots === '' && standbys.length > 0 ? [notWaiting(name)] : [])];
}

const tooOld = (server: string, version: number): Finding => ({
  check: 'slot-not-kept',
  severity: 'advice',
  server,
  found: `PostgreSQL ${Math.floor(version / 10_000)}, of which standbys keep no logical slots`,
  expected: 'PostgreSQL 17 or later, for replicas that go on after a failover',
  remedy: 'After a failover run readback doctor --fix: it copies each replica again.',
});

const notKeepable = (server: string, slot: string): Finding => ({
  check: 'slot-not-kept',
  severity: 'warning',
  server,
  found: `its slot ${slot} is not one that standbys keep`,
  expected: 'failover = true of the subscription: else the replica is copied again after a failover',
  remedy: 'Run readback doctor --fix or readback migrate.',
  fix: { name: 'keep-slot', server },
});

const notYetKept = (server: string, slot: string, at: string): Finding => ({
  check: 'slot-not-kept',
  severity: 'warning',
  server,
  found: `the standby ${at} does not keep its slot ${slot}, or not yet`,
  expected: 'the slot there, synced and not temporary: else the replica is copied again after a failover',
  remedy: 'See the log of the standby. Where nothing is written, the slot is kept some time after the next write.',
});

const notWaiting = (server: string): Finding => ({
  check: 'standby-slots',
  severity: 'warning',
  server,
  found: 'synchronized_standby_slots is empty: replicas may get changes that no standby has yet',
  expected:
    "the standbys' physical slots: a replica that is ahead of a promoted standby holds what is lost, and is copied again",
  remedy: "Run there: alter system set synchronized_standby_slots = '…'; select pg_reload_conf();",
});
