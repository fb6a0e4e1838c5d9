import type { Basics, Facts, Limit, PrimaryFacts, ServerFacts } from '../facts.ts';
import { unlikeTexts } from '../../../setup/texts.ts';
import type { Finding } from '../finding.ts';

type Partial = Omit<Finding, 'server'>;

const on = (server: string, findings: Partial[]): Finding[] => findings.map((finding) => ({ server, ...finding }));

/** Can each server be used at all, and is it what replication needs? */
export function checkServers({ primary, replicas }: Facts): Finding[] {
  return [
    ...on(primary.name, checkOne(primary, 'PRIMARY', primarySettings)),
    ...on(primary.name, checkTimelines(primary)),
    ...replicas.flatMap((replica) => on(replica.name, checkOne(replica, 'REPLICA', replicaSettings))),
    ...replicas.flatMap((replica) => on(replica.name, checkIdentity(replica, primary))),
    ...replicas.flatMap((replica) => on(replica.name, checkClock(replica, primary))),
    ...replicas.flatMap((replica) => on(replica.name, checkTexts(replica, primary))),
  ];
}

function checkOne(facts: ServerFacts, side: string, settings: (basics: Basics) => Partial[]): Partial[] {
  if (facts.unreachable !== undefined) return [unreachable(facts, side)];
  const basics = facts.basics!;
  if (basics.version < 150_000) return [tooOld(basics)];
  return [...settings(basics), ...rights(basics, side), ...(facts.limits ?? []).flatMap(checkLimit)];
}

const unreachable = ({ at, unreachable: reason }: ServerFacts, side: string): Partial => ({
  check: 'unreachable',
  severity: 'error',
  found: `${at} does not answer: ${reason}`,
  expected: 'a PostgreSQL that accepts the login',
  remedy: `Check that it runs there, the network between, and user and password (${side === 'PRIMARY' ? 'PRIMARY_URL, PRIMARY_ADMIN_URL' : 'REPLICA_URLS, REPLICA_ADMIN_URLS'}); the embedded pair is started by: npm start`,
});

const tooOld = ({ version }: Basics): Partial => ({
  check: 'version',
  severity: 'error',
  found: `PostgreSQL ${Math.floor(version / 10_000)}.${version % 10_000}`,
  expected: 'PostgreSQL 15 or later: column lists, and notifications that the apply worker sends at once',
  remedy: 'Upgrade it.',
});

function primarySettings({ walLevel }: Basics): Partial[] {
  if (walLevel === 'logical') return [];
  return [
    {
      check: 'wal-level',
      severity: 'error',
      found: `wal_level = ${walLevel}`,
      expected: 'wal_level = logical',
      remedy: 'Run there: alter system set wal_level = logical; and restart PostgreSQL.',
    },
  ];
}

function replicaSettings({ trackCommitTimestamp }: Basics): Partial[] {
  if (trackCommitTimestamp === 'on') return [];
  return [
    {
      check: 'commit-timestamps',
      severity: 'error',
      found: 'track_commit_timestamp = off',
      expected: 'track_commit_timestamp = on: it tells when a change was committed on the primary',
      remedy: 'Run there: alter system set track_commit_timestamp = on; and restart PostgreSQL.',
    },
  ];
}

function checkTimelines({ details }: PrimaryFacts): Partial[] {
  if (!details?.timelines) return [];
  const { refused, owner } = details.timelines;
  return [
    {
      check: 'timelines',
      severity: 'warning',
      found: `readback.timelines() does not tell where earlier timelines ended: ${refused}`,
      expected:
        'its owner may read the history of timelines: else bookmarks and cursors from before a failover are refused',
      remedy: `Run there as a superuser: grant execute on function pg_read_file(text, bigint, bigint, boolean) to ${owner};`,
    },
  ];
}

function rights({ isSuperuser, isStandby }: Basics, side: string): Partial[] {
  const findings: Partial[] = [];
  if (isStandby) {
    findings.push({
      check: 'standby',
      severity: 'error',
      found: 'a physical standby, which cannot be written',
      expected: 'a server of its own',
      remedy: 'Name its primary instead.',
    });
  }
  if (!isSuperuser) {
    findings.push({
      check: 'admin-rights',
      severity: 'warning',
      found: 'the login that was given is no superuser, so most could not be looked at',
      expected: 'a superuser for setting up and for this command; the server itself needs none',
      remedy: `Set ${side === 'PRIMARY' ? 'PRIMARY_ADMIN_URL' : 'REPLICA_ADMIN_URLS'} to one.`,
    });
  }
  return findings;
}

function checkIdentity({ basics }: ServerFacts, primary: ServerFacts): Partial[] {
  if (!basics || basics.identity !== primary.basics?.identity) return [];
  return [
    {
      check: 'same-database',
      severity: 'error',
      found: 'the same database as the primary',
      expected: 'another server, or another database',
      remedy: 'Correct REPLICA_URLS.',
    },
  ];
}

/** Where replication works by chance until the first text that differs, and where answers do. */
function checkTexts({ texts }: ServerFacts, { texts: primary }: ServerFacts): Partial[] {
  if (!texts || !primary) return [];
  return unlikeTexts(primary, texts).map(({ what, stops, found, expected, remedy }) => ({
    check: what,
    severity: stops ? 'error' : 'warning',
    found,
    expected,
    remedy,
  }));
}

const MOST_SKEW_MS = 1000;

/** Only what is certain counts: the way there and back may have taken the rest. */
function checkClock({ clock }: ServerFacts, { clock: primary }: ServerFacts): Partial[] {
  if (!clock || !primary) return [];
  const [fast, slow] = [clock.least - primary.most, primary.least - clock.most];
  if (Math.max(fast, slow) <= MOST_SKEW_MS) return [];
  const seconds = (Math.max(fast, slow) / 1000).toFixed(1);
  return [
    {
      check: 'clock-skew',
      severity: 'warning',
      found: `its clock is ${seconds} s ${fast > slow ? 'fast' : 'slow'}, measured by the primary's`,
      expected: `clocks that agree to within ${MOST_SKEW_MS / 1000} s: an event's appliedAt is of the one, its committedAt of the other, and lagMs is the difference`,
      remedy:
        'Let both machines take their time from one source, by chrony or systemd-timesyncd: chronyc tracking, run on each, says which of the two is wrong.',
    },
  ];
}

/** A table's copy takes one more for its time. */
function checkLimit({ setting, most, used }: Limit): Partial[] {
  if (used < most - 1) return [];
  const wanted = `alter system set ${setting} = ${Math.max(20, most * 2)}`;
  return [
    {
      check: 'limit',
      severity: used >= most ? 'error' : 'warning',
      found: `${used} of ${most} that ${setting} allows are taken`,
      expected: 'two left: one for a subscription, one for the copy of a table',
      remedy: `Run there: ${wanted}; and restart PostgreSQL.`,
    },
  ];
}
