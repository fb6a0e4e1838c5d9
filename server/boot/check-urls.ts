import type { Config, DatabaseConfig, DatabaseUrls } from './config.ts';
import { leadsToPooler, pooledFaults, pooledWays, unfit, type PooledWay } from '../database/pooled.ts';
import { describeUrl } from '../lib/database-url.ts';
import type { Complain } from '../lib/complaints.ts';
import { SetupError } from '../lib/errors.ts';

type CheckConfig = Pick<Config, 'DB_CONNECT_TIMEOUT_MS' | 'STATEMENT_TIMEOUT_MS' | 'POOLER_CHECK'>;

/**
 * Asks each server whether a pooler stands where none may, and whether one that may keeps what is asked of sessions.
 * Who does not answer now is passed over: a start waits for nobody, and the pools of a pooler check again by themselves.
 * @throws SetupError with one line for each thing to repair.
 */
export async function checkUrls(
  config: CheckConfig,
  { primary, replicas }: DatabaseConfig,
  complain: Complain,
): Promise<void> {
  const servers = [primary, ...replicas];
  const names = ['primary', ...replicas.map((_, index) => `replica-${index + 1}`)];
  const found = await Promise.all(servers.map((urls) => faultsOf(urls, config, complain)));
  const lines = found.flatMap((faults, index) => faults.map((fault) => `${names[index]}: ${fault}`));
  if (lines.length > 0) throw new SetupError(lines.join('\n'));
}

async function faultsOf(urls: DatabaseUrls, config: CheckConfig, complain: Complain): Promise<string[]> {
  const asked = [directFault(urls.url, config), ...pooledWays(urls, config).map(pooledFault)];
  const unchecked = (error: unknown) => complain(error, NOT_CHECKED);
  const answers = await Promise.all(asked.map((one) => one.catch(unchecked)));
  return answers.filter((fault) => typeof fault === 'string');
}

async function directFault(url: string, config: CheckConfig): Promise<string | undefined> {
  return (await leadsToPooler(url, config)) ? notDirect(url) : undefined;
}

async function pooledFault(way: PooledWay): Promise<string | undefined> {
  const faults = await pooledFaults(way);
  return faults.length > 0 ? unfit(way.url, faults) : undefined;
}

const NOT_CHECKED = 'A server did not answer at start, so it was not checked whether its URL leads where it must.';

const notDirect = (url: string) =>
  `PRIMARY_URL and REPLICA_URLS must lead to PostgreSQL itself, as LISTEN, watches and the feed need sessions of their own, ` +
  `and ${describeUrl(url)} is a connection pooler. Name PostgreSQL's own address there, and the pooler's in ` +
  'PRIMARY_POOLED_URL or REPLICA_POOLED_URLS.';
