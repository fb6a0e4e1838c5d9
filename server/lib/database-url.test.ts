import { expect, test } from 'vitest';
import { describeUrl, formatDatabaseUrl, isDatabaseUrl, parseDatabaseUrl } from './database-url.ts';

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
  const broken = ['postgres://a,,b/shop', 'postgres://a:x/shop', 'postgres://a:99999/shop', 'postgres://%zz@a/shop'];
  expect([...wrong, ...broken].filter(isDatabaseUrl)).toEqual([]);
});
