import type { DatabaseConfig, DatabaseUrls } from '../boot/config.ts';
import { refusalOf } from '../database/refusal.ts';
import { withinMs } from '../lib/within.ts';
import { openServer } from '../setup/requirements.ts';
import type { Server } from '../setup/requirements.ts';
import type { SetupConfig } from '../setup/setup.ts';

/** A server as its operator sees it: a connection that may look at everything, and the URLs that are configured. */
export interface OperatedServer extends Server {
  urls: DatabaseUrls;
}

export interface Servers {
  primary: OperatedServer;
  /** Named replica-1, replica-2, … as everywhere, in the order of the configuration. */
  replicas: OperatedServer[];
}

export type OperateConfig = SetupConfig;

/** Opens one connection to each server for `work`; whatever it leaves undone on them ends with it. */
export async function withServers<T>(
  databases: DatabaseConfig,
  config: OperateConfig,
  purpose: string,
  work: (servers: Servers) => Promise<T>,
): Promise<T> {
  const open = (name: string, urls: DatabaseUrls): OperatedServer => ({
    ...openServer(name, urls.adminUrl, config, purpose),
    urls,
  });
  const primary = open('primary', databases.primary);
  const replicas = databases.replicas.map((urls, index) => open(`replica-${index + 1}`, urls));
  try {
    return await work({ primary, replicas });
  } finally {
    await Promise.all([primary, ...replicas].map(({ admin }) => admin.end({ timeout: 1 })));
  }
}

/** Why a server cannot be used; undefined where it answers. One that accepts connections and then hangs is found, too. */
export async function unreachable({ admin }: Server, timeoutMs: number): Promise<string | undefined> {
  try {
    await withinMs(admin`select 1`, timeoutMs);
    return undefined;
  } catch (error) {
    const refusal = refusalOf(error);
    return refusal
      ? `${refusal.reason}. ${refusal.remedy.replace(/\.$/, '')}`
      : (error as Error).message || 'no reason given';
  }
}

/** A part of those given whose server answers. */
export async function reachableOf<T extends Server>(servers: T[], timeoutMs: number): Promise<T[]> {
  const reasons = await Promise.all(servers.map((server) => unreachable(server, timeoutMs)));
  return servers.filter((_, index) => reasons[index] === undefined);
}
