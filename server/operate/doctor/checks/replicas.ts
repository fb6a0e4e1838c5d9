import { obstacles } from '../../../setup/obstacles.ts';
import type { Facts, PrimaryDetails, ReplicaDetails, Writer } from '../facts.ts';
import type { Finding } from '../finding.ts';
import { hiddenRows } from './publication.ts';

/** What a replica holds: tables that fit, triggers that log, and nobody else who writes. */
export function checkReplicas({ primary, replicas }: Facts): Finding[] {
  return replicas.flatMap(({ name, details }) => {
    if (!details) return [];
    return [
      ...(primary.details ? checkColumns(name, primary.details, details) : []),
      ...hiddenRows(name, details.hidden),
      ...checkTriggers(name, details),
      ...checkLog(name, details),
      ...checkWriters(name, details.writers),
    ];
  });
}

/** `public.users.email (text) is missing: add it.` is what was found, and what to do. */
function checkColumns(
  server: string,
  { published, withoutIdentity }: PrimaryDetails,
  { shapes }: ReplicaDetails,
): Finding[] {
  const told = (line: string) => withoutIdentity.some((table) => line.startsWith(`${table} needs a primary key`));
  return obstacles(published, shapes)
    .filter((line) => !told(line))
    .map((line) => {
      const end = line.lastIndexOf(': ');
      return {
        check: 'columns-differ',
        severity: 'error',
        server,
        found: line.slice(0, end),
        expected: 'a table that takes everything that the primary sends of it',
        remedy: `On the replica: ${line.slice(end + 2)}`,
      };
    });
}

const HEARTBEAT = 'readback.heartbeat';
const WANTED = ['readback_change', 'readback_truncate'];

function checkTriggers(server: string, { subscribed, triggers, shapes }: ReplicaDetails): Finding[] {
  const always = new Set(
    triggers.filter(({ enabled }) => enabled === 'A').map(({ table, name }) => `${table} ${name}`),
  );
  const there = new Set(shapes.map(({ table }) => table));
  const tables = subscribed.map(({ table }) => table).filter((table) => table !== HEARTBEAT && there.has(table));
  return [
    ...tables.flatMap((table) => {
      const wrong = WANTED.filter((name) => !always.has(`${table} ${name}`));
      return wrong.length > 0 ? [unwatched(server, table, wrong)] : [];
    }),
    ...(always.has(`${HEARTBEAT} ring`) ? [] : [silent(server)]),
  ];
}

const unwatched = (server: string, table: string, names: string[]): Finding => ({
  check: 'trigger',
  severity: 'error',
  server,
  found: `${names.join(' and ')} of ${table} ${names.length > 1 ? 'are' : 'is'} missing or not ENABLE ALWAYS`,
  expected: 'both triggers, ENABLE ALWAYS: else changes of the table are not logged',
  remedy: `Run readback doctor --fix: it puts them there with readback.watch and begins the change log again, as it has a gap.`,
  fix: { name: 'watch-table', server, subject: table },
});

const silent = (server: string): Finding => ({
  check: 'trigger',
  severity: 'error',
  server,
  found: `ring of ${HEARTBEAT} is missing or not ENABLE ALWAYS`,
  expected: 'a heartbeat that rings where it arrives, so that nobody waits longer than needed',
  remedy: `Run there: alter table ${HEARTBEAT} enable always trigger ring;`,
  fix: { name: 'ring-always', server },
});

/** `feedFaults` is what the feed goes by: something there that no check above has told must not go unsaid. */
function checkLog(server: string, { isLogReady, subscription, feedFaults }: ReplicaDetails): Finding[] {
  const known =
    /another subscription|streaming is parallel|synchronous_commit|track_commit_timestamp|the trigger|may write into the change log/;
  const others = feedFaults.filter((fault) => !known.test(fault)).map((fault) => logFault(server, fault));
  return isLogReady || !subscription ? others : [...others, notReady(server)];
}

const logFault = (server: string, fault: string): Finding => ({
  check: 'log-not-ready',
  severity: 'error',
  server,
  found: fault,
  expected: 'a change log that the feed can trust',
  remedy: 'See what was found.',
});

const notReady = (server: string): Finding => ({
  check: 'log-not-ready',
  severity: 'error',
  server,
  found: 'set-up did not end, so the change log does not say from where on it is complete',
  expected: 'readback.log_state.complete_since is set',
  remedy: 'Run readback doctor --fix or readback migrate.',
  fix: { name: 'complete-log', server },
});

function checkWriters(server: string, writers: Writer[]): Finding[] {
  return writers.map(({ table, role, privileges }) => {
    const isLog = table.startsWith('readback.');
    const may = privileges.map((privilege) => privilege.toLowerCase()).join(', ');
    return {
      check: isLog ? 'log-writers' : 'table-writers',
      severity: isLog ? 'error' : 'warning',
      server,
      found: `${role} may ${may} on ${table}`,
      expected: isLog ? 'only the apply worker writes there' : 'nobody but the apply worker writes on a replica',
      remedy: `Run there: revoke ${may} on ${table} from ${role};${isLog ? '' : ' Then readback verify, for what was written.'}`,
    };
  });
}
