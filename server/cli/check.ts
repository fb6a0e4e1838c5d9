import type { Config, DatabaseConfig } from '../boot/config.ts';
import { databaseUrlFault } from '../lib/database-url.ts';
import { reachFault } from '../setup/reach.ts';
import { examine, type Examined } from '../setup/requirements.ts';
import { describeVersion, withServers, type Servers } from '../setup/servers.ts';
import { operatedDatabases } from './databases.ts';
import { paint, print, printJson } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface CheckFlags {
  json: boolean;
}

/** Of a replica: how it reaches the primary; undefined: that was not tried. */
interface Checked extends Examined {
  reach?: { fault: string | undefined };
}

/** Whether a primary and replicas can carry Readback; changes nothing. True: they can. */
export async function checkCommand(config: Config, urls: string[], { json }: CheckFlags): Promise<boolean> {
  const databases = urls.length === 0 ? operatedDatabases(config) : given(urls, config);
  const checked = await withServers(databases, config, 'check', (servers) => check(servers, config));
  const isFit = checked.every(({ lacks, reach }) => lacks.length === 0 && reach?.fault === undefined);
  if (json) printJson({ isFit, servers: checked.map(asJson) });
  else print([...checked.flatMap(describe), verdict(isFit)].join('\n'));
  return isFit;
}

/** What is configured besides, such as PRIMARY_REPLICATION_URL, holds for these, too. */
function given([primary, ...replicas]: string[], config: Config): DatabaseConfig {
  if (replicas.length === 0)
    throw new UsageError('A primary and its replicas are checked together: give the URL of a replica, too.');
  for (const url of [primary!, ...replicas]) {
    const fault = databaseUrlFault(url);
    if (fault !== undefined) throw new UsageError(`A URL ${fault}.`);
  }
  const urlsOf = (url: string) => ({ url, adminUrl: url });
  return {
    primary: urlsOf(primary!),
    replicas: replicas.map(urlsOf),
    replicationUrl: config.databases?.replicationUrl,
  };
}

async function check({ primary, replicas }: Servers, config: Config): Promise<Checked[]> {
  const examined = await examine(primary, replicas, config);
  const [first, ...others] = examined;
  const isPrimaryFit = first!.lacks.length === 0;
  const reached = others.map(async (one): Promise<Checked> => {
    // Without the rights that it lacks the answer would be about those.
    if (!isPrimaryFit || one.lacks.length > 0 || config.SUBSCRIPTIONS === 'awaited') return one;
    return { ...one, reach: { fault: await reachFault(primary, one.server, config) } };
  });
  return [first!, ...(await Promise.all(reached))];
}

function describe({ server: { name, at }, facts, lacks, reach }: Checked): string[] {
  const isFit = lacks.length === 0 && reach?.fault === undefined;
  const what = facts
    ? ` PostgreSQL ${describeVersion(facts.version)}${facts.provider ? `, ${facts.provider.name}` : ''}, as ${facts.login}`
    : '';
  return [
    `${isFit ? paint('green', 'fit  ') : paint('red', 'lacks')}  ${paint('bold', name)} (${at})${what}`,
    ...lacks.map((lack) => `  - ${lack}`),
    ...(reach ? [reach.fault === undefined ? '  reaches the primary' : `  - ${unreached(reach.fault)}`] : []),
  ];
}

const unreached = (fault: string) =>
  `it does not reach the primary: ${fault}. If it knows the primary by another address, set PRIMARY_REPLICATION_URL to that.`;

const verdict = (isFit: boolean) =>
  isFit
    ? paint('green', 'They can carry Readback: readback migrate sets them up.')
    : 'Nothing was changed. The lines above say what is missing and who can give it: then run this again.';

const asJson = ({ server, facts, lacks, reach }: Checked) => ({
  name: server.name,
  at: server.at,
  version: facts ? describeVersion(facts.version) : null,
  provider: facts?.provider?.name ?? null,
  login: facts?.login ?? null,
  lacks,
  reachesPrimary: reach ? reach.fault === undefined : null,
  reachFault: reach?.fault ?? null,
});
