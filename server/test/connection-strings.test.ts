import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { readConfig } from '../boot/config.ts';
import { connect } from '../database/connect.ts';
import { sessionSettings } from '../database/settings.ts';
import { databaseUrlFault, describeUrl, formatDatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import { projectRoot } from '../lib/root.ts';
import { KNOWN_PARAMETERS } from '../lib/url-parameters.ts';
import { format, fromUrl, parse } from '../setup/conninfo.ts';

const SECRET = 'S3CR3Tx';
const { honoured, passedOver, refused } = KNOWN_PARAMETERS;
const known = Object.keys({ ...honoured, ...passedOver, ...refused });

/** What the driver is told to send at the start, by name. */
function sent(url: string): string[] {
  const sql = connect(url, { max: 1, connectTimeoutMs: 100, applicationName: 'test', readOnly: true });
  return Object.keys((sql.options as unknown as { connection: Record<string, unknown> }).connection);
}

const MAY_BE_SENT = ['options', 'application_name', ...Object.keys(sessionSettings({ readOnly: true }))];

/** Used wherever it may go: there are no other errors than those for operators, and none has the password. */
function use(text: string): string[] {
  const said: string[] = [];
  const attempt = (work: () => string | void) => {
    try {
      said.push(work() ?? '');
    } catch (error) {
      expect(error).toBeInstanceOf(SetupError);
      said.push((error as Error).message);
    }
  };
  attempt(() => databaseUrlFault(text));
  attempt(() => describeUrl(text));
  attempt(() => {
    readConfig({ PRIMARY_URL: text, REPLICA_URLS: text, PRIMARY_ADMIN_URL: text });
  });
  attempt(() => {
    expect(sent(text).filter((name) => !MAY_BE_SENT.includes(name))).toEqual([]);
  });
  attempt(() => {
    const conninfo = fromUrl(text);
    expect(parse(format(conninfo))).toEqual(conninfo);
  });
  if (databaseUrlFault(text) === undefined) {
    const url = parseDatabaseUrl(text);
    expect(parseDatabaseUrl(formatDatabaseUrl(url))).toEqual(url);
  }
  return said;
}

const odd = fc.string({
  unit: fc.constantFrom(...'ab/?#@%:,&=+ [].', '%2', '%00', '%ff', '%41', 'ü', '\n', '\t', "'", '\\'),
});
const value = fc.oneof(odd, fc.constantFrom('require', 'disable', 'true', 'public', '10', 'verify-full', '/nowhere'));
const name = fc.oneof({ arbitrary: fc.constantFrom(...known), weight: 4 }, { arbitrary: odd, weight: 1 });
const query = fc.array(fc.tuple(name, value).map(([key, text]) => `${key}=${text}`)).map((pairs) => pairs.join('&'));
const password = odd.map((text) => `${text}${SECRET}`);
const written = fc.oneof(
  password.map((text) => `app:${text}@`),
  password.map((text) => `app:${encodeURIComponent(text)}@`),
);
const url = fc
  .tuple(
    written,
    fc.oneof(fc.constant('db-1:5432'), fc.constant('a,b:1,[::1]'), odd),
    fc.oneof(fc.constant('shop'), odd),
    query,
  )
  .map(([login, host, database, parameters]) => `postgres://${login}${host}/${database}?${parameters}`);

test('whatever stands in a URL: no error but for operators, no password in any, nothing sent as a setting', () => {
  fc.assert(
    fc.property(fc.oneof({ arbitrary: url, weight: 9 }, { arbitrary: odd, weight: 1 }), (text) => {
      expect(use(text).join('\n')).not.toContain(SECRET);
    }),
    { numRuns: 3000 },
  );
});

test('the parts of a URL, as DB_… have them: the same', () => {
  fc.assert(
    fc.property(odd, odd, password, (host, database, secret) => {
      const parts = { WRITE_DB_HOST: host, READ_DB_HOST: host, DB_NAME: database, DB_PASSWORD: secret };
      try {
        const { databases } = readConfig(parts);
        if (databases) expect(parseDatabaseUrl(databases.primary.url).password).toBe(secret);
      } catch (error) {
        expect(error).toBeInstanceOf(SetupError);
        expect((error as Error).message).not.toContain(SECRET);
      }
    }),
    { numRuns: 1000 },
  );
});

test('DB_SSLMODE and DB_SSLROOTCERT ask for TLS on both sides', () => {
  const parts = { WRITE_DB_HOST: 'db-1', READ_DB_HOST: 'db-2', DB_SSLMODE: 'verify-ca', DB_SSLROOTCERT: '/etc/ca.crt' };
  const { databases } = readConfig(parts);
  for (const each of [databases!.primary.url, databases!.replicas[0]!.url])
    expect(Object.fromEntries(parseDatabaseUrl(each).parameters)).toEqual({
      sslmode: 'verify-ca',
      sslrootcert: '/etc/ca.crt',
    });
  expect(() => readConfig({ ...parts, DB_SSLMODE: 'no-verify' })).toThrow(/^DB_SSLMODE .*no-verify/);
  expect(() => readConfig({ ...parts, DB_SSLROOTCERT: 'system' })).toThrow('wants sslmode=verify-full');
});

test('what is refused in a list of URLs says which of them it is', () => {
  const environment = { PRIMARY_URL: 'postgres://a@b/c', REPLICA_URLS: 'postgres://a@b/c,postgres://a:pw@b/c?max=50' };
  expect(() => readConfig(environment)).toThrow(/^REPLICA_URLS, its URL 2, has the parameter max, /);
});

test('docs/connection-strings.md has every parameter', () => {
  const page = readFileSync(join(projectRoot, 'docs/connection-strings.md'), 'utf8');
  expect(known.filter((parameter) => !new RegExp(`^\\|.*\`${parameter}[\`=]`, 'm').test(page))).toEqual([]);
});

test('what the environment has for other programs changes no connection', () => {
  const optionsOf = (url: string) => {
    const sql = connect(url, { max: 1, connectTimeoutMs: 100, applicationName: 'test' });
    return sql.options as unknown as Record<string, unknown>;
  };
  const urls = ['postgres://h/d', 'postgres://me@h:1234,g/d?sslmode=require', 'postgres://me:secret@h/d'];
  const asIs = urls.map(optionsOf);
  // What libpq reads, and what the driver would: an option of its own by that name.
  const libpq = 'HOST PORT DATABASE USER USERNAME PASSWORD APPNAME SSLMODE TARGETSESSIONATTRS OPTIONS'.split(' ');
  const own = Object.keys(asIs[0]!).map((name) => name.toUpperCase());
  try {
    for (const name of [...libpq, ...own]) vi.stubEnv(`PG${name}`, 'any');
    expect(urls.map(optionsOf).map(comparable)).toEqual(asIs.map(comparable));
  } finally {
    vi.unstubAllEnvs();
  }
});

/** Functions are made for each connection. */
const comparable = (options: object) => JSON.parse(JSON.stringify(options)) as object;
