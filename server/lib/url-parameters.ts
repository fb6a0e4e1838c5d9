/** What may stand after the ? of a database's URL: docs/connection-strings.md has the table. */

/** What is wrong with a value; undefined: nothing. */
type Rule = (value: string) => string | undefined;

const any: Rule = () => undefined;

/** Values are shown where they are of a closed list and look like one: what else stands there may be part of a password. */
const shown = (value: string) => (/^[\w.:-]{1,30}$/.test(value) ? value : 'something else');

const oneOf =
  (...values: string[]): Rule =>
  (value) =>
    values.includes(value)
      ? undefined
      : `must be ${values.join(', ').replace(/, (?=[^,]*$)/, ' or ')}, got: ${shown(value)}`;

const whole: Rule = (value) => (/^-?\d{1,9}$/.test(value) ? undefined : 'must be a whole number');
const path: Rule = (value) => (value === '' ? 'must name a file' : undefined);
const version = oneOf('TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3');

const refused =
  (why: string): Rule =>
  () =>
    why;

/** Some values are taken, others are not, with the reason. */
const but =
  (rule: Rule, others: Record<string, string>): Rule =>
  (value) =>
    Object.hasOwn(others, value) ? `is ${value}, ${others[value]}` : rule(value);

const PLACE = 'cannot be used here: write postgres://user:password@host:5432/database';
const NO_STANDBY = 'and Readback needs servers that take writes: physical standbys are none of its replicas';
const ONLY_PUBLIC = but(oneOf('public'), {});

const HONOURED: Record<string, Rule> = {
  sslmode: but(oneOf('disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'), {
    'no-verify':
      'which no PostgreSQL program but node-postgres knows: write sslmode=require, it encrypts and verifies nothing',
  }),
  sslrootcert: path,
  sslcert: path,
  sslkey: path,
  sslpassword: any,
  sslcrl: path,
  sslnegotiation: oneOf('postgres', 'direct'),
  ssl_min_protocol_version: version,
  ssl_max_protocol_version: version,
  options: any,
};

const PASSED_OVER: Record<string, Rule> = {
  application_name: any,
  fallback_application_name: any,
  connect_timeout: whole,
  keepalives: whole,
  keepalives_idle: whole,
  keepalives_interval: whole,
  keepalives_count: whole,
  tcp_user_timeout: whole,
  channel_binding: oneOf('disable', 'prefer', 'require'),
  gssencmode: but(oneOf('disable', 'prefer'), {
    require: 'which cannot be had: write gssencmode=disable, and encrypt with sslmode=verify-full',
  }),
  gssdelegation: any,
  gsslib: any,
  krbsrvname: any,
  sslcompression: oneOf('0', '1'),
  sslsni: oneOf('0', '1'),
  sslcertmode: but(oneOf('disable', 'allow'), { require: 'which cannot be seen to: leave it out' }),
  target_session_attrs: but(oneOf('any', 'read-write', 'primary'), {
    standby: NO_STANDBY,
    'prefer-standby': NO_STANDBY,
    'read-only': NO_STANDBY,
  }),
  load_balance_hosts: oneOf('disable', 'random'),
  client_encoding: (value) =>
    /^(auto|utf-?8|unicode)$/i.test(value) ? undefined : 'must be UTF8, or left out: Readback speaks nothing else',
  min_protocol_version: oneOf('3.0'),
  max_protocol_version: oneOf('3.0', '3.2', 'latest'),
  // Of other drivers and of consoles that give URLs out.
  pgbouncer: any,
  schema: ONLY_PUBLIC,
  currentSchema: ONLY_PUBLIC,
  connection_limit: any,
  pool_timeout: any,
  socket_timeout: any,
  statement_cache_size: any,
  sslaccept: but(oneOf('accept_invalid_certs'), { strict: 'which is sslmode=verify-full: write that' }),
  uselibpqcompat: any,
  supa: any,
  workaround: any,
};

const REFUSED: Record<string, Rule> = {
  ...Object.fromEntries(
    ['host', 'hostaddr', 'port', 'dbname', 'user', 'password'].map((name) => [name, refused(PLACE)]),
  ),
  passfile: refused('is not read: the password stands in the URL, and the URL may stand in a file (PRIMARY_URL_FILE)'),
  service: refused('is not read: write out what that service says'),
  servicefile: refused('is not read: write out what its service says'),
  replication: refused('is of connections that are not made here: leave it out'),
  require_auth: refused('cannot be seen to: leave it out, and make certain of the server with sslmode=verify-full'),
  requirepeer: refused('is of Unix sockets, which are not used here: leave it out'),
  requiressl: refused('is gone from PostgreSQL: write sslmode=require'),
  ssl: refused('must be true, which is sslmode=require: write that'),
  sslcrldir: refused('is not read: name one file in sslcrl'),
  sslkeylogfile: refused('is not written: leave it out'),
  scram_client_key: refused('is not used: the password must be in the URL'),
  scram_server_key: refused('is not used: the password must be in the URL'),
};

export const KNOWN_PARAMETERS = { honoured: HONOURED, passedOver: PASSED_OVER, refused: REFUSED };

/** libpq reads ssl=true so, for the sake of JDBC's URLs. */
export function normalised(parameters: Map<string, string>): Map<string, string> {
  if (parameters.get('ssl') !== 'true') return parameters;
  const { ssl: _, ...rest } = Object.fromEntries(parameters);
  return new Map(Object.entries({ sslmode: 'require', ...rest }));
}

/** What is wrong with the parameters of a URL, without a value that could be secret; undefined: nothing. */
export function parameterFault(parameters: ReadonlyMap<string, string>): string | undefined {
  for (const [name, value] of parameters) {
    const rule = [HONOURED, PASSED_OVER, REFUSED].find((rules) => Object.hasOwn(rules, name))?.[name];
    if (!rule) return /^\w{1,40}$/.test(name) ? `has the parameter ${name}, ${UNKNOWN}` : `has a parameter ${UNNAMED}`;
    const fault = rule(value);
    if (fault !== undefined) return `has the parameter ${name}: ${name} ${fault}`;
  }
  return together(Object.fromEntries(parameters));
}

const UNKNOWN =
  'which is none of libpq that could be kept to: leave it out (docs/connection-strings.md has those that are known)';
const UNNAMED = 'whose name is none of libpq: leave it out; ? and & in a password are written %3F and %26';

const WEAK = new Set(['disable', 'allow', 'prefer']);

function together({
  sslmode,
  sslrootcert,
  sslnegotiation,
  sslcert,
  sslkey,
}: Record<string, string>): string | undefined {
  if (sslrootcert === 'system' && sslmode !== undefined && sslmode !== 'verify-full')
    return `has sslrootcert=system, which wants sslmode=verify-full, as anybody may have a certificate, got: ${sslmode}`;
  if (sslnegotiation === 'direct' && (sslmode === undefined || WEAK.has(sslmode)))
    return 'has sslnegotiation=direct, which wants sslmode=require or more';
  if ((sslcert === undefined) !== (sslkey === undefined)) return 'has one of sslcert and sslkey: name both, or neither';
  return undefined;
}
