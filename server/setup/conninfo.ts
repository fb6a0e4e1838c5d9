import { formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';

/** libpq's `key='value'` connection strings, which a subscription holds. */
export type Conninfo = Record<string, string>;

/** What says how the primary is reached, and is known to the libpq of every version. */
const PASSED_ON =
  'sslmode sslrootcert sslcert sslkey sslpassword sslcrl sslsni channel_binding gssencmode ssl_min_protocol_version ' +
  'ssl_max_protocol_version connect_timeout tcp_user_timeout keepalives keepalives_idle keepalives_interval keepalives_count';

/** With several hosts, libpq itself goes to the one that takes writes. */
export function fromUrl(text: string): Conninfo {
  const { hosts, database, user, password, parameters } = parseDatabaseUrl(text);
  const passedOn = PASSED_ON.split(' ').flatMap((name) => {
    const value = parameters.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return {
    host: hosts.map(({ host }) => host).join(','),
    port: hosts.map(({ port }) => port).join(','),
    dbname: database,
    ...(hosts.length > 1 && { target_session_attrs: 'read-write' }),
    ...(user !== undefined && { user, password }),
    ...Object.fromEntries(passedOn),
  };
}

/** The same as a URL. What it lacks is as libpq has it. */
export function toUrl({
  host = 'localhost',
  port = '5432',
  dbname = 'postgres',
  user,
  password = '',
  ...rest
}: Conninfo) {
  const ports = port.split(',');
  return formatDatabaseUrl({
    user,
    password,
    hosts: host.split(',').map((one, index) => ({ host: one, port: Number(ports[index] ?? ports[0]) })),
    database: dbname,
    parameters: new Map(rest['sslmode'] === undefined ? [] : [['sslmode', rest['sslmode']]]),
  });
}

export function format(conninfo: Conninfo): string {
  return Object.entries(conninfo)
    .map(([key, value]) => `${key}='${value.replace(/[\\']/g, '\\$&')}'`)
    .join(' ');
}

export function parse(text: string): Conninfo {
  const pairs = text.matchAll(/(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))/g);
  return Object.fromEntries(
    [...pairs].map(([, key, quoted, bare]) => [key!, (quoted ?? bare ?? '').replace(/\\(.)/g, '$1')]),
  );
}
