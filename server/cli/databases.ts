import { startEmbedded } from '../../infra/cluster/embedded.ts';
import { findPair, findRunning } from '../../infra/cluster/running.ts';
import type { Config, DatabaseConfig } from '../boot/config.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { UsageError } from './usage.ts';

/**
 * Runs `work` on the databases configured. With none configured: on the embedded pair, which a `readback up` may be
 * running at the moment, or which else runs just for this.
 */
export async function withDatabases<T>(
  config: Config,
  say: Say,
  work: (databases: DatabaseConfig) => Promise<T>,
): Promise<T> {
  if (config.databases) return work(config.databases);
  const running = findRunning(config.READBACK_DIR);
  if (running) return work(asConfig(running));
  const pair = await startPair(config, say);
  try {
    return await work(asConfig(pair));
  } finally {
    await pair.stop();
  }
}

/**
 * The databases that an operator looks at: those configured, or else the embedded pair, be it running or not: that one
 * of its servers does not answer is for the command to say.
 */
export function operatedDatabases(config: Config): DatabaseConfig {
  if (config.databases) return config.databases;
  const ports = { primary: config.EMBEDDED_PRIMARY_PORT, replica: config.EMBEDDED_REPLICA_PORT };
  const pair = findPair(config.READBACK_DIR, ports);
  if (pair) return asConfig(pair);
  throw new UsageError(
    `No databases are configured, and ${config.READBACK_DIR} has no embedded pair: set PRIMARY_URL and REPLICA_URLS, or run npm start first.`,
  );
}

/** Starts the embedded pair; whoever does stops it. */
export function startPair(config: Config, say: Say) {
  return startEmbedded({
    dir: config.READBACK_DIR,
    primaryPort: config.EMBEDDED_PRIMARY_PORT,
    replicaPort: config.EMBEDDED_REPLICA_PORT,
    say,
  }).catch((error: Error) => Promise.reject(new SetupError(error.message)));
}

type Pair = Record<'primary' | 'replica', DatabaseConfig['primary']>;

export const asConfig = ({ primary, replica }: Pair): DatabaseConfig => ({
  primary,
  replicas: [replica],
  replicationUrl: undefined,
});
