import type { DatabaseUrls } from '../../boot/config.ts';
import { leadsToPooler, pooledFaults, pooledWays } from '../../database/pooled.ts';
import { describeUrl, parseDatabaseUrl } from '../../lib/database-url.ts';
import type { SetupConfig } from '../../setup/setup.ts';
import { kind, type Finding } from './finding.ts';
import type { ServerFacts } from './servers.ts';

/** What goes through a connection pooler, and what must not. */
export interface PoolerFacts {
  /** The URL leads to a connection pooler. */
  isPooled?: boolean;
  /** Poolers whose sessions are not what the server needs. */
  poolers?: Pooler[];
}

interface Pooler {
  at: string;
  login: string;
  /** What is wrong with its sessions. */
  faults: string[];
  /** Why it cannot be asked. */
  unreachable?: string;
}

export async function lookAtPoolers(urls: DatabaseUrls, config: SetupConfig): Promise<PoolerFacts> {
  const poolers: Pooler[] = [];
  for (const way of pooledWays(urls, config)) {
    const found = { at: describeUrl(way.url), login: parseDatabaseUrl(way.url).user ?? '', faults: [] };
    const asked = pooledFaults(way).then(
      (faults) => ({ ...found, faults }),
      (error: Error) => ({ ...found, unreachable: error.message }),
    );
    poolers.push(await asked);
  }
  // A URL that cannot be used at all is told of its login.
  const isPooled = await leadsToPooler(urls.url, config).catch(() => false);
  return { isPooled, poolers };
}

export const checkPoolers = ({ name, isPooled, poolers = [] }: ServerFacts & PoolerFacts): Finding[] => [
  ...(isPooled ? [notDirect(name)] : []),
  ...poolers
    .filter(({ faults, unreachable }) => unreachable !== undefined || faults.length > 0)
    .map((pooler) => unfit(name, pooler)),
];

const notDirect = kind('pooler', () => ({
  found: 'PRIMARY_URL or REPLICA_URLS lead to a connection pooler',
  expected: 'PostgreSQL itself: LISTEN, watches and the feed need sessions of their own',
  remedy: "Name PostgreSQL's own address there, and the pooler's in PRIMARY_POOLED_URL or REPLICA_POOLED_URLS.",
}));

const unfit = kind('pooled-sessions', ({ at, login, faults, unreachable }: Pooler) => ({
  found: unreachable === undefined ? faults.join('; ') : `the pooler at ${at} cannot be asked: ${unreachable}`,
  expected: `sessions of ${login} at ${at} with the rights and settings of its role, and of no other`,
  remedy:
    unreachable === undefined
      ? 'Run readback migrate, which gives the login what it needs, then RECONNECT in the console of PgBouncer.'
      : 'Check that it runs there, that it knows the login, and that it reaches the server.',
}));
