import { allTables } from '../declare/declaration.ts';
import { restPath } from '../http/rest.ts';
import type { Config, DatabaseConfig } from '../boot/config.ts';
import { describeUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import { Releasers } from '../lib/releasers.ts';
import type { Say } from '../lib/logger.ts';
import { serve, type Server } from '../boot/serve.ts';
import { setUpToServe } from '../setup/setup.ts';
import { asConfig, startPair } from './databases.ts';
import { runUntilStopped, type Stopping } from './lifetime.ts';

/** Everything: the embedded pair where no databases are configured, set-up, and the server, until told to stop. */
export async function upCommand(config: Config, say: Say): Promise<void> {
  await runUntilStopped(config.SHUTDOWN_GRACE_MS, say, async (releasers, stopping) => {
    const databases = config.databases ?? (await runPair(config, releasers, stopping, say));
    await setUpToServe(databases, config, say);
    await start(config, databases, releasers, say);
  });
}

/** The server alone. */
export async function serveCommand(config: Config, say: Say): Promise<void> {
  const { databases } = config;
  if (!databases)
    throw new SetupError(
      'serve needs databases: set PRIMARY_URL and REPLICA_URLS, or run `readback up` for an embedded pair.',
    );
  await runUntilStopped(config.SHUTDOWN_GRACE_MS, say, (releasers) => start(config, databases, releasers, say));
}

async function runPair(config: Config, releasers: Releasers, stopping: Stopping, say: Say): Promise<DatabaseConfig> {
  const pair = await startPair(config, say);
  releasers.add('embedded PostgreSQL', () => pair.stop());
  void pair.failed.then((reason) => stopping.because(`PostgreSQL ended: ${reason}`));
  return asConfig(pair);
}

async function start(config: Config, databases: DatabaseConfig, releasers: Releasers, say: Say): Promise<void> {
  const server = await serve(config, databases);
  releasers.add('server', () => server.stop());
  for (const line of whereEverythingIs(server, databases, config)) say(line);
}

const ACCESS: Record<Config['ACCESS'], string> = {
  open: '  Access       open: everybody on this machine may read and write everything (ACCESS=protected asks who they are)',
  protected: '  Access       protected: `npx readback admin create` makes an administrator',
};

function whereEverythingIs(
  { host, port }: Server,
  { primary, replicas }: DatabaseConfig,
  { ACCESS: access, INTROSPECTION: introspection }: Config,
): string[] {
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return [
    '',
    'Readback is ready.',
    `  Console      http://${at}/`,
    `  Explorer     http://${at}/explore   (works without internet)`,
    `  GraphQL      http://${at}/graphql${introspection === 'on' ? '   (in a browser: Apollo Sandbox)' : ''}`,
    `  Websocket    ws://${at}/graphql   (graphql-transport-ws)`,
    ...allTables()
      .filter(({ hasRest }) => hasRest)
      .map((table) => `  REST         http://${at}${restPath(table)}`),
    `  Health       http://${at}/health`,
    `  Primary      ${describeUrl(primary.url)}`,
    ...replicas.map(({ url }, index) => `  Replica ${index + 1}    ${describeUrl(url)}`),
    ACCESS[access],
    '',
    'Ctrl-C stops it.',
  ];
}
