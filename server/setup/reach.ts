import type { Config } from '../boot/config.ts';
import type { Sql } from '../database/connect.ts';
import { parseDatabaseUrl } from '../lib/database-url.ts';
import { format, fromUrl, type Conninfo } from './conninfo.ts';
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
  try {
    await tryToReach(admin, { ...at, user: login.user ?? '', password: login.password }, DB_CONNECT_TIMEOUT_MS);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/\s+/g, ' ');
  }
}

const STATEMENT_TIMEOUT = '57014';

/**
 * PostgreSQL keeps to no connect_timeout there: from one that accepts connections and says nothing it would wait for an
 * answer for ever, and so would who has asked for the subscription.
 */
export async function tryToReach(replica: Sql, conninfo: Conninfo, timeoutMs: number): Promise<void> {
  try {
    await runSecretly(replica, SUBSCRIBE, String(timeoutMs), format(conninfo));
  } catch (error) {
    if ((error as { code?: string }).code !== STATEMENT_TIMEOUT) throw error;
    throw Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: CONNECTION_FAILURE });
  } finally {
    await replica`rollback`.catch(() => undefined); // of a session that is gone nothing is left
  }
}

/** As PostgreSQL has it where a connection is refused. */
const CONNECTION_FAILURE = '08006';

const SUBSCRIBE = `begin;
  set local statement_timeout = %L;
  create subscription ${NOTHING} connection %L publication ${NOTHING}
    with (enabled = false, create_slot = false, slot_name = none);
  rollback`;
