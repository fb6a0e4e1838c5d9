import type { DatabaseUrls } from '../../../boot/config.ts';
import { describeUrl, parseDatabaseUrl } from '../../../lib/database-url.ts';
import { leadsToPooler, pooledFaults, POOLED_ROLES } from '../../../database/pooled.ts';
import type { OperateConfig } from '../../servers.ts';
import type { PoolerFacts, ServerFacts } from '../facts.ts';

/** Whether a pooler stands where none may, and whether those that may give the sessions that the server needs. */
export async function lookAtPoolers(
  urls: DatabaseUrls,
  config: OperateConfig,
): Promise<Pick<ServerFacts, 'isPooled' | 'poolers'>> {
  const poolers: PoolerFacts[] = [];
  for (const what of ['writes', 'reads'] as const) {
    const url = urls.pooled?.[what];
    if (url !== undefined) poolers.push(await lookAtOne(url, what, urls.url, config));
  }
  // A URL that cannot be used at all is told of its login.
  const isPooled = await leadsToPooler(urls.url, config.DB_CONNECT_TIMEOUT_MS).catch(() => false);
  return { isPooled, poolers };
}

async function lookAtOne(
  url: string,
  what: keyof typeof POOLED_ROLES,
  directUrl: string,
  config: OperateConfig,
): Promise<PoolerFacts> {
  const facts = { at: describeUrl(url), login: parseDatabaseUrl(url).user ?? '', faults: [] };
  const way = {
    url,
    directUrl,
    role: POOLED_ROLES[what],
    connectTimeoutMs: config.DB_CONNECT_TIMEOUT_MS,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
  };
  return pooledFaults(way).then(
    (faults) => ({ ...facts, faults }),
    (error: Error) => ({ ...facts, unreachable: error.message }),
  );
}
