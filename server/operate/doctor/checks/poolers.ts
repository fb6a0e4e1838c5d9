import type { Facts, PoolerFacts, ServerFacts } from '../facts.ts';
import type { Finding } from '../finding.ts';

/** What goes through a connection pooler, and what must not. */
export function checkPoolers({ primary, replicas }: Facts): Finding[] {
  return [primary, ...replicas].flatMap((server) => [
    ...(server.isPooled ? [notDirect(server)] : []),
    ...(server.poolers ?? []).flatMap((pooler) => checkPooler(server.name, pooler)),
  ]);
}

const notDirect = ({ name }: ServerFacts): Finding => ({
  check: 'pooler',
  severity: 'error',
  server: name,
  found: 'PRIMARY_URL or REPLICA_URLS lead to a connection pooler',
  expected: 'PostgreSQL itself: LISTEN, watches and the feed need sessions of their own',
  remedy: "Name PostgreSQL's own address there, and the pooler's in PRIMARY_POOLED_URL or REPLICA_POOLED_URLS.",
});

function checkPooler(server: string, { at, login, faults, unreachable }: PoolerFacts): Finding[] {
  if (unreachable === undefined && faults.length === 0) return [];
  return [
    {
      check: 'pooled-sessions',
      severity: 'error',
      server,
      found: unreachable === undefined ? faults.join('; ') : `the pooler at ${at} cannot be asked: ${unreachable}`,
      expected: `sessions of ${login} at ${at} with the rights and settings of its role, and of no other`,
      remedy:
        unreachable === undefined
          ? 'Run readback migrate, which gives the login what it needs, then RECONNECT in the console of PgBouncer.'
          : 'Check that it runs there, that it knows the login, and that it reaches the server.',
    },
  ];
}
