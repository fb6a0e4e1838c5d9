import type { Config } from '../boot/config.ts';
import { parseDatabaseUrl } from '../lib/database-url.ts';
import { withinMs } from '../lib/within.ts';
import { format, fromUrl } from './conninfo.ts';
import { runSecretly } from './logins.ts';
import type { OperatedServer } from './servers.ts';

/** No publication has this name: nothing is asked of the primary but whether it lets a replica in. */
const NOTHING = 'readback_check';

/**
 * Whether a replica reaches the primary at the address that it is to stream from, by PostgreSQL's own word: a subscription
 * without a slot is made, and taken back with its transaction. Undefined where it does; else why not.
 */
export async function reachFault(
  primary: OperatedServer,
  { admin }: OperatedServer,
  { DB_CONNECT_TIMEOUT_MS }: Pick<Config, 'DB_CONNECT_TIMEOUT_MS'>,
): Promise<string | undefined> {
  const login = parseDatabaseUrl(primary.replicator ?? primary.urls.adminUrl);
  const at = fromUrl(primary.replicationUrl ?? primary.urls.adminUrl);
  const seconds = String(Math.ceil(DB_CONNECT_TIMEOUT_MS / 1000));
  const conninfo = { ...at, user: login.user ?? '', password: login.password, connect_timeout: seconds };
  try {
    await withinMs(runSecretly(admin, SUBSCRIBE, format(conninfo)), 2 * DB_CONNECT_TIMEOUT_MS);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/\s+/g, ' ');
  } finally {
    await admin`rollback`.catch(() => undefined); // of a session that is gone nothing is left
  }
}

const SUBSCRIBE = `begin;
  create subscription ${NOTHING} connection %L publication ${NOTHING}
    with (enabled = false, create_slot = false, slot_name = none);
  rollback`;
