import type { Config, DatabaseConfig } from '../boot/config.ts';
import { databaseUrlFault, describeUrl, isDatabaseUrl, looksLikeUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { addReplica, planDrop } from '../operate/replicas.ts';
import { withServers } from '../setup/servers.ts';
import { operatedDatabases } from './databases.ts';
import { confirmed, print, printJson, tell } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface AddFlags {
  json: boolean;
  adminUrl?: string;
}

export interface DropFlags {
  json: boolean;
  yes: boolean;
}

/** Returns when the new replica holds everything. */
export async function addReplicaCommand(config: Config, given: string | undefined, flags: AddFlags): Promise<boolean> {
  for (const argument of [given, flags.adminUrl]) warnOfPassword(argument, 'NEW_REPLICA_URL and NEW_REPLICA_ADMIN_URL');
  const { json } = flags;
  const url = given ?? config.newReplica.url;
  if (url === undefined)
    throw new UsageError(`Which replica? ${NO_URL} NEW_REPLICA_URL takes it, too, as does a file.`);
  const adminUrl = flags.adminUrl ?? config.newReplica.adminUrl ?? url;
  for (const each of [url, adminUrl]) assertUrl(each);
  const databases = operatedDatabases(config);
  await addReplica(databases, { url, adminUrl }, config, tell);
  const replicas = [...databases.replicas.map((replica) => replica.url), url].map(describeUrl);
  const advice = adviceOf(databases, replicas);
  if (json) printJson({ added: describeUrl(url), replicas });
  else print(`${describeUrl(url)} is set up, and holds everything.\n${advice}`);
  return true;
}

/** False: it was not confirmed, and nothing was changed. */
export async function dropReplicaCommand(config: Config, which: string, { json, yes }: DropFlags): Promise<boolean> {
  warnOfPassword(which, 'its name or its slot');
  if (looksLikeUrl(which)) assertUrl(which);
  const databases = withUrl(operatedDatabases(config), which);
  const did = await withServers(databases, config, 'replica drop', async (servers) => {
    const { does, run } = await planDrop(servers, which, config);
    if (!(await confirmed(does, yes))) return undefined;
    await run();
    return does;
  });
  if (did === undefined) return false;
  if (json) printJson({ dropped: did });
  else print(`Done: ${did}\n${LEAVE}`);
  return true;
}

/** Others on the machine see the arguments of a process, and the shell keeps them. */
function warnOfPassword(argument: string | undefined, instead: string): void {
  if (argument === undefined || !isDatabaseUrl(argument) || parseDatabaseUrl(argument).password === '') return;
  tell(`A password on the command line can be seen by others on this machine: give ${instead} instead.`);
}

function assertUrl(text: string): void {
  const fault = databaseUrlFault(text);
  if (fault !== undefined) throw new UsageError(`The URL of a replica ${fault}.`);
}

const NO_URL = 'A replica is named by a URL such as postgres://user:password@host:5432/database.';
const LEAVE = 'Take its URL out of REPLICA_URLS (and REPLICA_ADMIN_URLS), and restart the server.';

/** Passwords are not printed: the URLs are the operator's to put together. */
function adviceOf({ replicas }: DatabaseConfig, all: string[]): string {
  return [
    `Add its URL to REPLICA_URLS, after a comma, so that it names ${all.join(', ')}; and restart the server.`,
    ...(replicas.some(({ url, adminUrl }) => url !== adminUrl)
      ? ['REPLICA_ADMIN_URLS, where set, names as many.']
      : []),
  ].join('\n');
}

/** Whoever took the URL out of the configuration first may still name it. */
function withUrl(databases: DatabaseConfig, which: string): DatabaseConfig {
  const isKnown = ({ adminUrl }: { adminUrl: string }) => describeUrl(adminUrl) === describeUrl(which);
  if (!isDatabaseUrl(which) || databases.replicas.some(isKnown)) return databases;
  return { ...databases, replicas: [...databases.replicas, { url: which, adminUrl: which }] };
}
