import { createServer as createHttp } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readConfig } from '../boot/config.ts';
import { checkCommand } from '../cli/check.ts';
import { migrateCommand } from '../cli/migrate.ts';
import { ran } from './support/in-process.ts';
import { copyFiles, ownServers, putFile, type OwnServers } from './support/standby.ts';

/** What `readback check` says of URLs that lead elsewhere than one thinks. */
const SLOW = { timeout: 120_000 };
const SECRET = 'S3CR3Tx';
const MOST_MS = 10_000;

let servers: OwnServers;
let good: string;
let other: string;
const listening: Server[] = [];
beforeAll(async () => {
  servers = await ownServers(['primary', 'replica', 'standby']);
  good = servers.servers['primary']!.adminUrl;
  other = servers.servers['replica']!.adminUrl;
  await Promise.all([servers.stopServer('replica'), servers.stopServer('standby')]);
  copyFiles(join(servers.dir, 'replica'), join(servers.dir, 'standby'));
  putFile(join(servers.dir, 'standby'), 'standby.signal', '');
  await Promise.all([servers.startServer('replica'), servers.startServer('standby')]);
}, SLOW.timeout);
afterAll(async () => {
  for (const one of listening) one.close();
  await servers?.end();
}, SLOW.timeout);

/** The URL of a login there. */
async function listen(server: Server): Promise<string> {
  listening.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `postgres://app:${SECRET}@127.0.0.1:${(server.address() as AddressInfo).port}/shop`;
}

/** Of something that is no PostgreSQL. */
const answering = (answer: (socket: Socket, data: Buffer) => unknown) =>
  listen(createServer((socket) => void socket.on('error', () => {}).on('data', (data) => answer(socket, data))));

const silent = () => answering(() => {});
const isTlsAsked = (data: Buffer) => data.length === 8;

async function check(urls: string[], environment: Record<string, string> = { DB_CONNECT_TIMEOUT_MS: '700' }) {
  const started = performance.now();
  const { code, said, failure } = await ran(() => checkCommand(readConfig(environment), urls, { json: false }));
  expect(performance.now() - started).toBeLessThan(MOST_MS);
  const text = [said.trim(), ...failure].filter((part) => part !== '').join('\n');
  expect(text).not.toContain(SECRET);
  expect(text).not.toMatch(/^ +at |undefined|\[object|fault of Readback/m);
  expect(text.split('\n').length).toBeLessThanOrEqual(2 * urls.length + 1);
  return { code, text };
}

const at = () => new URL(good).host;

const PLACES: [what: string, url: () => string | Promise<string>, said: string][] = [
  ['a port where nobody is', () => `postgres://app:${SECRET}@127.0.0.1:1/shop`, 'Check that PostgreSQL runs there'],
  ['a web server', () => listen(createHttp()), 'the connection was closed. Check that PostgreSQL runs there'],
  ['one that hangs up', () => answering((socket) => socket.destroy()), 'Check that PostgreSQL runs there'],
  ['one that never answers', silent, 'no answer of PostgreSQL came in time. Check that'],
  [
    'one that greets first',
    () => listen(createServer((socket) => socket.on('error', () => {}).write('SSH-2.0\r\n'))),
    'no answer of PostgreSQL came in time',
  ],
  [
    'TLS that never comes',
    () => answering((socket, data) => isTlsAsked(data) && socket.write('S')),
    'no answer of PostgreSQL came in time',
  ],
  [
    'TLS that is none',
    () => answering((socket, data) => socket.write(isTlsAsked(data) ? 'S' : 'garbage')),
    'wrong version number. It seems that no TLS',
  ],
  ['a name that is none', () => `postgres://app:${SECRET}@nowhere.invalid/shop`, 'No such host is known here'],
  ['an address of IPv6 where nobody is', () => good.replace('127.0.0.1', '[::1]'), '([::1]:'],
  [
    'a database that is absent',
    () => good.replace(/\/postgres$/, '/nothing'),
    'database "nothing" does not exist. Create',
  ],
  ['a wrong password', () => `postgres://postgres:${SECRET}@${at()}/postgres`, 'Check the user and the password'],
  ['a login that is absent', () => `postgres://nobody:${SECRET}@${at()}/postgres`, 'Check the user and the password'],
  ['a login without its password', () => `postgres://postgres@${at()}/postgres`, 'Check the user and the password'],
  ['no TLS where it is wanted', () => `${good}?sslmode=require`, 'sslmode=disable in the URL goes without'],
];

for (const [what, url, said] of PLACES)
  test(`a plain line with a remedy, in time: ${what}`, SLOW, async () => {
    const odd = await url();
    const asPrimary = await check([odd, other]);
    expect(asPrimary).toEqual({ code: 1, text: expect.stringMatching(/^lacks {2}primary \(.*\)\n {2}- /) });
    expect(asPrimary.text).toContain(said);
    const asReplica = await check([good, odd]);
    expect(asReplica).toEqual({
      code: 1,
      text: expect.stringMatching(/^fit {4}primary .*\nlacks {2}replica-1 \(.*\)\n {2}- /),
    });
    expect(asReplica.text).toContain(said);
  });

test('with the timeouts as they are, where no side ever answers', SLOW, async () => {
  const urls = [await silent(), await silent(), await silent()];
  expect(await check(urls, {})).toMatchObject({ code: 1, text: expect.stringMatching(/(lacks[^]*){3}/) });
});

test('a replica that is sent to where nobody answers does not reach the primary', SLOW, async () => {
  const { username, password } = new URL(good);
  const { code, text } = await check([good, other], {
    PRIMARY_URL: good,
    REPLICA_URLS: other,
    PRIMARY_REPLICATION_URL: Object.assign(new URL(await silent()), { username, password }).href,
    DB_CONNECT_TIMEOUT_MS: '2000',
  });
  expect(code).toBe(1);
  expect(text).toMatch(
    / {2}- it does not reach the primary: no answer within 2000 ms\. .* set PRIMARY_REPLICATION_URL to that/,
  );
  expect(text).not.toContain(password);
});

test('servers that are not what they are named as', SLOW, async () => {
  const standby = servers.servers['standby']!.adminUrl;
  expect((await check([standby, other])).text).toContain('this is a physical standby, which cannot be written');
  expect((await check([good, standby])).text).toContain('Name its primary instead');
  expect((await check([good, good])).text).toContain('this is the same database as the primary. Name another server.');
  const before = other.replace('127.0.0.1', 'localhost');
  expect((await check([other, before])).text).toContain('this is the same database as the primary');
});

test.each([
  [`postgres://postgres:${SECRET}@%2Ftmp/shop`, 'has the folder of a Unix socket'],
  [`postgres://postgres:${SECRET}@127.0.0.1`, 'has no database'],
  [`postgres://postgres:${SECRET}@127.0.0.1:99999/shop`, 'must be a URL such as'],
  [`postgres://postgres:a/${SECRET}@127.0.0.1/shop`, 'must be a URL such as'],
  [`mysql://root:${SECRET}@127.0.0.1/shop`, 'has another scheme'],
  [`host=127.0.0.1 password=${SECRET}`, "has libpq's form of key=value"],
  [`postgres://postgres@127.0.0.1/shop?foo=${SECRET}`, 'has the parameter foo'],
])('what is no URL of a server that could be asked: %s', async (url, said) => {
  expect(await check([url, url])).toEqual({ code: 2, text: expect.stringMatching(/^A URL .*\.$/) });
  expect((await check([url, url])).text).toContain(said);
});

test('set-up, too, gives up on a replica that is sent to where nobody answers', SLOW, async () => {
  const { username, password } = new URL(good);
  const nowhere = Object.assign(new URL(await silent()), { username, password });
  const config = readConfig({
    PRIMARY_URL: good,
    REPLICA_URLS: other,
    PRIMARY_REPLICATION_URL: nowhere.href,
    DB_CONNECT_TIMEOUT_MS: '2000',
  });
  const { code, failure } = await ran(() => migrateCommand(config, () => {}));
  expect(code).toBe(1);
  expect(failure).toEqual([
    expect.stringMatching(/^replica-1 \(.*\) cannot subscribe .*: no answer within 2000 ms\. If .* set PRIMARY_REPL/),
  ]);
  expect(await servers.admin('primary')`select from pg_replication_slots`).toEqual([]);
  expect(failure.join()).not.toContain(password);
});
