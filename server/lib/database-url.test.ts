import { expect, test } from 'vitest';
import { databaseUrlFault, describeUrl, formatDatabaseUrl, isDatabaseUrl, parseDatabaseUrl } from './database-url.ts';

test('several hosts, each with a port of its own or the usual one', () => {
  const url = parseDatabaseUrl('postgres://app:s%40cret@db-1:6000,db-2,[::1]:6001/shop?sslmode=require');
  expect(url).toMatchObject({ user: 'app', password: 's@cret', database: 'shop' });
  expect(url.hosts).toEqual([
    { host: 'db-1', port: 6000 },
    { host: 'db-2', port: 5432 },
    { host: '::1', port: 6001 },
  ]);
  expect(url.parameters.get('sslmode')).toBe('require');
});

test('what is read can be written, and read again', () => {
  for (const text of [
    'postgres://app:s%40c%2Fret@db-1:6000,db-2:5432/shop?sslmode=require',
    'postgres://db:5432/a%20b',
    'postgres://app@[::1]:1/shop',
  ])
    expect(formatDatabaseUrl(parseDatabaseUrl(text))).toBe(text);
});

test('people see no password', () => {
  expect(describeUrl('postgresql://app:secret@db-1,db-2:6000/shop')).toBe('db-1:5432,db-2:6000/shop');
});

test('what is no URL of a database is none', () => {
  const wrong = ['', 'db-1', 'http://db/shop', 'postgres://db', 'postgres://db/', 'postgres:///shop'];
  const broken = [
    'postgres://a,,b/shop',
    'postgres://a:x/shop',
    'postgres://a:99999/shop',
    'postgres://%zz@a/shop',
    'postgres://a:0/b',
  ];
  expect([...wrong, ...broken].filter(isDatabaseUrl)).toEqual([]);
});

test.each([
  ['postgres://app:s3cret@db:5432', 'has no database'],
  ['postgres://app:s3cret@db/?sslmode=require', 'has no database'],
  ['postgres://app:s3cret@%2Ftmp/shop', 'has the folder of a Unix socket'],
  ['postgres:///shop?host=/tmp', 'has the folder of a Unix socket'],
  ['mysql://app:s3cret@db/shop', 'has another scheme'],
  ['jdbc:postgresql://db/shop?password=s3cret', 'has the form of JDBC'],
  ['host=db user=app password=s3cret', "has libpq's form of key=value"],
  ['postgres://app:s3cret/x@db', 'must be a URL such as'],
  ['postgres://app:s3cret?x@db/shop', 'must be a URL such as'],
  ['s3cret', 'must be a URL such as'],
])('what is meant by what is no URL is told, and nothing of it is shown: %s', (text, said) => {
  const fault = databaseUrlFault(text);
  expect(fault).toContain(said);
  expect(fault).not.toContain('s3cret');
});

test('parameters are read as libpq reads them: the last of two, a plus as a plus, and ssl=true for JDBC', () => {
  const { parameters } = parseDatabaseUrl('postgres://a@b/c?sslmode=disable&sslmode=require&options=-c+x%3D1%20y');
  expect([...parameters]).toEqual([
    ['sslmode', 'require'],
    ['options', '-c+x=1 y'],
  ]);
  expect(parseDatabaseUrl('postgres://a@b/c?ssl=true').parameters.get('sslmode')).toBe('require');
});

const CONSOLES = [
  'postgresql://neondb_owner:npg_x@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require',
  'postgres://neondb_owner:npg_x@ep-1.aws.neon.tech/neondb?sslmode=require&options=endpoint%3Dep-1',
  'postgresql://postgres.abc:pw@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1',
  'postgres://postgres.abc:pw@aws-0.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x',
  'postgresql://u:p@h:5432/db?schema=public&connection_limit=5&pool_timeout=10',
  'postgres://u:p@h:5432/db?sslmode=require&uselibpqcompat=true',
  'postgresql://doadmin:p@db-do-user-1.ondigitalocean.com:25060/defaultdb?sslmode=require',
  'postgres://u:p@h/db?keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5&tcp_user_timeout=0',
  'postgres://u:p@h/db?gssencmode=disable&target_session_attrs=read-write&connect_timeout=10&application_name=shop',
  'postgres://u:p@a:1,b:2/db?target_session_attrs=primary&load_balance_hosts=disable&client_encoding=UTF8',
];

test.each(CONSOLES)('as a console gives it: %s', (text) => {
  expect(databaseUrlFault(text)).toBeUndefined();
});

test.each([
  ['sslmode=no-verify', 'write sslmode=require'],
  ['sslmode=yes', 'sslmode must be disable, allow, prefer, require, verify-ca or verify-full, got: yes'],
  ['sslmode=', 'sslmode must be'],
  ['gssencmode=require', 'gssencmode=disable, and encrypt with sslmode=verify-full'],
  ['target_session_attrs=standby', 'target_session_attrs is standby'],
  ['require_auth=scram-sha-256', 'the parameter require_auth'],
  ['schema=shop', 'schema must be public, got: shop'],
  ['client_encoding=LATIN1', 'client_encoding must be UTF8'],
  ['connect_timeout=soon', 'connect_timeout must be a whole number'],
  ['password=hunter2', 'the parameter password'],
  ['statement_timeout=5000', 'the parameter statement_timeout, which is none of libpq'],
  ['search_path=app', 'the parameter search_path, which is none of libpq'],
  ['constructor=1', 'the parameter constructor, which is none of libpq'],
  ['sslrootcert=system&sslmode=require', 'wants sslmode=verify-full'],
  ['sslnegotiation=direct', 'wants sslmode=require'],
  ['sslcert=a.crt', 'name both, or neither'],
])('a parameter that cannot be kept to is named: %s', (query, said) => {
  const fault = databaseUrlFault(`postgres://app:s3cret@db/shop?${query}`);
  expect(fault).toContain(said);
  expect(fault).not.toMatch(/s3cret|hunter2/);
});

test('a password that is not encoded is neither taken for something else nor shown', () => {
  for (const password of ['pa#ss', 'pa/ss', '1234/ss', '1234/s?sslmode=x', 'pa?ss', 'p%ss', 'p%ff', 'p%00'])
    expect(databaseUrlFault(`postgres://app:${password}@db/shop`)).toContain('%23 %2F %3F %40 %25');
});
