import type { Config } from '../boot/config.ts';
import { connect } from '../database/connect.ts';
import { named } from '../database/named.ts';
import { describeUrl } from '../lib/database-url.ts';
import type { Server } from './requirements.ts';

/** One connection to look after a server; it is the caller's to end. */
export function openServer(
  name: string,
  url: string,
  { DB_CONNECT_TIMEOUT_MS }: Pick<Config, 'DB_CONNECT_TIMEOUT_MS'>,
  purpose: string,
): Server {
  const at = describeUrl(url);
  const options = { max: 1, connectTimeoutMs: DB_CONNECT_TIMEOUT_MS, applicationName: `readback ${purpose}` };
  return { name, at, admin: named(connect(url, options), `${name} (${at})`) };
}
