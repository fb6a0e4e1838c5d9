import type { Config } from '../boot/config.ts';
import { setUp } from '../setup/setup.ts';
import { PASSWORD, printSetUp, type Script } from '../setup/print.ts';
import { operatedDatabases, withDatabases } from './databases.ts';
import { print } from './terminal.ts';
import { UsageError } from './usage.ts';
import type { Say } from '../lib/logger.ts';

/** Prints what set-up would do, for whoever may run it: all, or what is one server's. */
export async function printCommand(config: Config, server: string | true): Promise<void> {
  const scripts = await printSetUp(operatedDatabases(config), config);
  const wanted = scripts.filter((one) => server === true || one.server === server);
  if (wanted.length === 0)
    throw new UsageError(`There is no ${String(server)}: name one of ${scripts.map((one) => one.server).join(', ')}.`);
  for (const [index, one] of wanted.entries()) print(titled(one, index + 1));
}

const titled = ({ server, at, sql }: Script, place: number) =>
  `-- ${place}. Of ${server} (${at}), by somebody who may do all of it:
--   psql -v ON_ERROR_STOP=1 -v ${PASSWORD}=… -f FILE; the password is one of your own, of letters and digits, for all servers
${sql}`;

/** Set-up without serving: returns when every replica holds all that is published. */
export async function migrateCommand(config: Config, say: Say): Promise<void> {
  await withDatabases(config, say, async (databases) => {
    await setUp(databases, config, say);
    const replicas = databases.replicas.length === 1 ? 'the replica' : `all ${databases.replicas.length} replicas`;
    say(`Up to date: the primary and ${replicas}.`);
  });
}
