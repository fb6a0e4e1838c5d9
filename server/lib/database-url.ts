import { SetupError } from './errors.ts';
import { normalised, parameterFault } from './url-parameters.ts';

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
  /** Decoded; of one that stands there twice the last, as libpq has it. */
  parameters: ReadonlyMap<string, string>;
}

export interface DatabaseHost {
  host: string;
  port: number;
}

const FORM = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#@]+)\/([^?#]*)(?:\?([^#]*))?$/i;
const DEFAULT_PORT = 5432;
const NO_URL =
  'must be a URL such as postgres://user:password@host:5432/database, in which a password has its # / ? @ % as %23 %2F %3F %40 %25';

const SOCKET =
  'has the folder of a Unix socket for its host, and those are not used: write the name or the address of the server, such as localhost';

/** What is meant by what is none; nothing of it is shown, as a password may be anywhere. */
const OTHERS: [RegExp, string][] = [
  [/^jdbc:/i, 'has the form of JDBC: write postgres://user:password@host:5432/database'],
  [
    /^(?:mysql|mariadb|mssql|mongodb|redis|https?):\/\//i,
    'has another scheme than postgres://, so PostgreSQL is not there',
  ],
  [
    /^\s*(?:host|hostaddr|user|dbname|port|password)\s*=/,
    "has libpq's form of key=value: write postgres://user:password@host:5432/database",
  ],
  [/^postgres(?:ql)?:\/\/\/[^@]*[?&]host=/i, SOCKET],
  [
    /^postgres(?:ql)?:\/\/(?:[^/?#@]*@)?[^/?#@]+\/?(?:\?[^#@/]*)?$/i,
    'has no database: write its name after the host, as in postgres://user:password@host:5432/database',
  ],
];

/** @throws SetupError that says what is wrong with it, and has no password in it. */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  const url = tryParse(text);
  if (typeof url !== 'string') return url;
  throw new SetupError(`A database's URL ${url}`);
}

/** What is wrong with it, to go on after the name of what holds it; undefined: nothing. Never with a password. */
export function databaseUrlFault(text: string): string | undefined {
  const url = tryParse(text);
  return typeof url === 'string' ? url : undefined;
}

export const isDatabaseUrl = (text: string): boolean => databaseUrlFault(text) === undefined;

/** Whether it was meant to be one, right or wrong. */
export const looksLikeUrl = (text: string): boolean => text.includes('://');

function tryParse(text: string): DatabaseUrl | string {
  const [, login, authority, path, query = ''] = FORM.exec(text) ?? [];
  if (authority === undefined || !path) return OTHERS.find(([form]) => form.test(text))?.[1] ?? NO_URL;
  // A password with a / in it has its @ after what then looks like the host: what follows is not the database's name.
  if (`${path}${query}`.includes('@')) return NO_URL;
  const [user, password] = decodedLogin(login);
  const hosts = authority.split(',').map(readHost);
  const database = decoded(path);
  const pairs = readQuery(query);
  if (user === undefined || password === undefined || database === undefined || pairs === undefined) return NO_URL;
  if (!hosts.every((host) => host !== undefined)) return NO_URL;
  if (hosts.some(({ host }) => host.startsWith('/'))) return SOCKET;
  const parameters = normalised(pairs);
  const url = { user: user === '' ? undefined : user, password, hosts, database, parameters };
  return parameterFault(parameters) ?? url;
}

/** Undefined: a percent sign that begins no character, or PostgreSQL's end of a text. */
function decoded(text: string): string | undefined {
  try {
    const value = decodeURIComponent(text);
    return value.includes('\0') ? undefined : value;
  } catch {
    return undefined;
  }
}

function decodedLogin(login = ''): [string | undefined, string | undefined] {
  const end = login.includes(':') ? login.indexOf(':') : login.length;
  return [decoded(login.slice(0, end)), decoded(login.slice(end + 1))];
}

function readHost(text: string): DatabaseHost | undefined {
  if (/\s/.test(text) || !URL.canParse(`postgres://${text}/`)) return undefined;
  const { hostname, port } = new URL(`postgres://${text}/`);
  const host = decoded(hostname.replace(/^\[|\]$/g, ''));
  if (host === undefined || host === '' || port === '0') return undefined;
  return { host, port: Number(port || DEFAULT_PORT) };
}

/** As libpq has it a + is a plus, not a space. */
function readQuery(query: string): Map<string, string> | undefined {
  const pairs = query.split('&').filter((pair) => pair !== '');
  const read = pairs.map((pair) => {
    const end = pair.includes('=') ? pair.indexOf('=') : pair.length;
    return [decoded(pair.slice(0, end)), decoded(pair.slice(end + 1))] as const;
  });
  const isWhole = (pair: (typeof read)[number]): pair is readonly [string, string] => !pair.includes(undefined);
  return read.every(isWhole) ? new Map(read) : undefined;
}

export function formatDatabaseUrl({ user, password, hosts, database, parameters }: DatabaseUrl): string {
  const secret = password === '' ? '' : `:${encodeURIComponent(password)}`;
  const login = user === undefined ? '' : `${encodeURIComponent(user)}${secret}@`;
  const pairs = [...parameters].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  const query = pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  return `postgres://${login}${formatHosts(hosts)}/${encodeURIComponent(database)}${query}`;
}

/** Hosts and database for people: never the password. */
export function describeUrl(url: string): string {
  const { hosts, database } = parseDatabaseUrl(url);
  return `${formatHosts(hosts)}/${encodeURIComponent(database)}`;
}

const formatHosts = (hosts: DatabaseHost[]) =>
  hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
