import type { Config, DatabaseUrls } from '../boot/config.ts';
import { withinMs } from '../lib/within.ts';
import { describeUrl } from '../lib/database-url.ts';
import { connect, type Sql } from './connect.ts';
import { isPooled, missingSettings, wrongRights } from './session.ts';
import { sessionSettings } from './settings.ts';

/** What goes through a pooler, and the role whose rights its login has. */
export const POOLED_ROLES = { writes: 'readback_writer', reads: 'readback_reader' } as const;

export type PooledRole = (typeof POOLED_ROLES)[keyof typeof POOLED_ROLES];

export interface PooledWay {
  /** Through the pooler. */
  url: string;
  /** Straight to the server that the pooler must lead to. */
  directUrl: string;
  role: PooledRole;
  connectTimeoutMs: number;
  statementTimeoutMs: number;
}

/** What of a server goes through a pooler. */
export function pooledWays(
  { url: directUrl, pooled = {} }: DatabaseUrls,
  config: Pick<Config, 'DB_CONNECT_TIMEOUT_MS' | 'STATEMENT_TIMEOUT_MS'>,
): PooledWay[] {
  const { DB_CONNECT_TIMEOUT_MS: connectTimeoutMs, STATEMENT_TIMEOUT_MS: statementTimeoutMs } = config;
  return (['writes', 'reads'] as const).flatMap((what) => {
    const url = pooled[what];
    const role = POOLED_ROLES[what];
    return url === undefined ? [] : [{ url, directUrl, role, connectTimeoutMs, statementTimeoutMs }];
  });
}

/** What the login of a pooled session has, as PgBouncer takes on no settings of clients. */
export const pooledSettings = (role: PooledRole, statementTimeoutMs: number) =>
  sessionSettings({ role, readOnly: role === 'readback_reader', statementTimeoutMs });

/** What is wrong with sessions behind the pooler; rejects where it, or the server, cannot be asked. */
export async function pooledFaults(way: PooledWay): Promise<string[]> {
  const { url, directUrl, role, connectTimeoutMs, statementTimeoutMs } = way;
  const options = { max: 1, connectTimeoutMs, applicationName: 'readback check of a pooler' };
  const pooled = connect(url, { ...options, pooled: {} });
  const direct = connect(directUrl, options);
  const ask = async () => {
    const [there, here] = await Promise.all([serverOf(pooled), serverOf(direct)]);
    if (there !== here) return [`it leads to another server than ${describeUrl(directUrl)}`];
    return [
      ...(await wrongRights(pooled, role)),
      ...(await missingSettings(pooled, pooledSettings(role, statementTimeoutMs))),
    ];
  };
  try {
    return await withinMs(ask(), 2 * connectTimeoutMs);
  } finally {
    await Promise.all([pooled, direct].map((sql) => sql.end({ timeout: 1 })));
  }
}

/** A standby, or a copy made of files, has the same identifier: they did not start at the same moment. */
async function serverOf(sql: Sql): Promise<string> {
  const [row] = await sql<[{ server: string }]>`
    select (select system_identifier from pg_control_system()) || '/' || current_database() || '/' ||
      extract(epoch from pg_postmaster_start_time()) as server`;
  return row.server;
}

/**
 * Whether the URL leads to a pooler that hands sessions out anew for each transaction; never, where POOLER_CHECK is off.
 * Rejects where nobody answers.
 */
export async function leadsToPooler(
  url: string,
  { DB_CONNECT_TIMEOUT_MS: connectTimeoutMs, POOLER_CHECK }: Pick<Config, 'DB_CONNECT_TIMEOUT_MS' | 'POOLER_CHECK'>,
): Promise<boolean> {
  if (POOLER_CHECK === 'off') return false;
  const open = () => connect(url, { max: 1, connectTimeoutMs, readOnly: true, applicationName: 'readback check' });
  const sql = open();
  try {
    return await withinMs(isPooled(sql, open), 2 * connectTimeoutMs);
  } catch (error) {
    if (/unsupported startup parameter/.test((error as Error).message)) return true;
    throw error;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Sessions are used only after a check: the first one's, and again one after any connection was lost. */
export class PooledGate {
  readonly #way: PooledWay;
  #verdict: Promise<void> | undefined;

  constructor(way: PooledWay) {
    this.#way = way;
  }

  readonly allowed = (): Promise<void> => {
    this.#verdict ??= this.#check().catch((error: unknown) => {
      this.forget();
      throw error;
    });
    return this.#verdict;
  };

  forget(): void {
    this.#verdict = undefined;
  }

  /** With a code by which clients are told that the server is not available. */
  async #check(): Promise<void> {
    const faults = await pooledFaults(this.#way);
    if (faults.length > 0) throw Object.assign(new Error(unfit(this.#way.url, faults)), { code: 'CONNECTION_UNFIT' });
  }
}

/** `faults` is not empty. */
export const unfit = (url: string, faults: string[]): string =>
  `sessions of the pooler at ${describeUrl(url)} are not fit for use: ${faults.join('; ')}. ` +
  'Run readback migrate, which gives the login what it needs, then RECONNECT in the console of PgBouncer.';
