/**
 * A database's URL in libpq's form, several hosts included: `postgres://user:password@db-1:5432,db-2:5432/shop`. The
 * URL of the platform takes no such list, so each host is read as a URL of its own.
 */
export interface DatabaseUrl {
  /** Undefined: none is named. Decoded. */
  user: string | undefined;
  password: string;
  /** At least one, in the order in which they are tried. IPv6 addresses without brackets. */
  hosts: DatabaseHost[];
  database: string;
  parameters: URLSearchParams;
}

export interface DatabaseHost {
  host: string;
  port: number;
}

/** A percent sign alone is no encoding. */
const BROKEN = /%(?![0-9a-f]{2})/i;
const FORM = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#@]+)\/([^?#]*)(?:\?([^#]*))?$/i;
const DEFAULT_PORT = 5432;

export function parseDatabaseUrl(text: string): DatabaseUrl {
  const url = tryParse(text);
  if (url) return url;
  throw new TypeError('expected a URL such as postgres://user:password@host:5432/database');
}

export const isDatabaseUrl = (text: string): boolean => tryParse(text)?.database !== undefined;

function tryParse(text: string): DatabaseUrl | undefined {
  const [, login, authority, path, query = ''] = FORM.exec(text) ?? [];
  if (authority === undefined || !path || BROKEN.test(text)) return undefined;
  const parts = authority.split(',').map((host) => (login === undefined ? '' : `${login}@`) + host);
  if (!parts.every((part) => URL.canParse(`postgres://${part}/${path}`))) return undefined;
  const urls = parts.map((part) => new URL(`postgres://${part}/${path}`));
  if (urls.some(({ hostname }) => hostname === '')) return undefined;
  const { username, password, pathname } = urls[0]!;
  return {
    user: username === '' ? undefined : decodeURIComponent(username),
    password: decodeURIComponent(password),
    hosts: urls.map(({ hostname, port }) => ({ host: bare(hostname), port: Number(port || DEFAULT_PORT) })),
    database: decodeURIComponent(pathname.slice(1)),
    parameters: new URLSearchParams(query),
  };
}

export function formatDatabaseUrl({ user, password, hosts, database, parameters }: DatabaseUrl): string {
  const secret = password === '' ? '' : `:${encodeURIComponent(password)}`;
  const login = user === undefined ? '' : `${encodeURIComponent(user)}${secret}@`;
  const query = parameters.size === 0 ? '' : `?${parameters.toString()}`;
  return `postgres://${login}${formatHosts(hosts)}/${encodeURIComponent(database)}${query}`;
}

/** Hosts and database for people: never the password. */
export function describeUrl(url: string): string {
  const { hosts, database } = parseDatabaseUrl(url);
  return `${formatHosts(hosts)}/${encodeURIComponent(database)}`;
}

const formatHosts = (hosts: DatabaseHost[]) =>
  hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');

const bare = (hostname: string) => hostname.replace(/^\[|\]$/g, '');
