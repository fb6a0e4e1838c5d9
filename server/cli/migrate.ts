import type { Config } from '../boot/config.ts';
import { setUp } from '../setup/setup.ts';
import { withDatabases } from './databases.ts';
import type { Say } from '../lib/logger.ts';

/** Set-up without serving: returns when every replica holds all that is published. */
export async function migrateCommand(config: Config, say: Say): Promise<void> {
  await withDatabases(config, say, async (databases) => {
    await setUp(databases, config, say);
    const replicas = databases.replicas.length === 1 ? 'the replica' : `all ${databases.replicas.length} replicas`;
    say(`Up to date: the primary and ${replicas}.`);
  });
}
