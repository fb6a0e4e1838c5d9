import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { findHome } from '../cluster/binaries.ts';
import { startEmbedded, startEmbeddedServers, type EmbeddedOptions, type EmbeddedPair } from '../cluster/embedded.ts';
import { argumentsOf, isPostmasterOf, until } from '../cluster/processes.ts';

const dir = mkdtempSync(join(tmpdir(), 'readback-embedded-'));
const data = join(dir, 'primary');
const running: { stop(): Promise<void> }[] = [];
const said: string[] = [];

async function start(options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedPair> {
  const say = (line: string): void => void said.push(line);
  const defaults = { dir, primaryPort: 0, replicaPort: 0, say, settings: { fsync: 'off' } };
  const pair = await startEmbedded({ ...defaults, ...options });
  running.push(pair);
  return pair;
}

async function ask(url: string, query: string): Promise<unknown> {
  const sql = postgres(url, { max: 1 });
  try {
    return Object.values((await sql.unsafe(query))[0] ?? {})[0];
  } finally {
    await sql.end();
  }
}

function pidIn(file: string): number {
  return parseInt(readFileSync(join(dir, file), 'utf8'), 10);
}

/** Another process that starts the servers and then waits, to be killed. */
async function startElsewhere(): Promise<ChildProcess> {
  const module = new URL('../cluster/embedded.ts', import.meta.url).href;
  const options = { dir, primaryPort: 0, replicaPort: 0, settings: { fsync: 'off' } };
  const script = `const { startEmbedded } = await import('${module}');
    await startEmbedded({ ...${JSON.stringify(options)}, say() {} }); console.log('started');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((pair) => pair.stop()));
  said.length = 0;
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('embedded servers', { timeout: 60_000 }, () => {
  it('start, answer with the settings of logical replication, and leave no process behind', async () => {
    const pair = await start();
    expect(await ask(pair.primary.adminUrl, 'show wal_level')).toBe('logical');
    expect(await ask(pair.replica.adminUrl, 'show track_commit_timestamp')).toBe('on');
    expect(await ask(pair.replica.adminUrl, `select datcollate || datlocale from pg_database`)).toBe('CC.UTF-8');
    expect(said).toEqual(['primary', 'replica'].map((name) => `Creating the ${name} (first start only)…`));
    const pids = ['keeper.pid', 'primary/postmaster.pid', 'replica/postmaster.pid'].map(pidIn);
    await pair.stop();
    await pair.stop();
    expect(pids.map(argumentsOf)).toEqual([undefined, undefined, undefined]);
    expect(existsSync(join(dir, 'keeper.pid'))).toBe(false);
  });

  it('keep their data and passwords from start to start, and the passwords to themselves', async () => {
    const before = await start();
    await ask(before.primary.adminUrl, 'create table kept as select 1 as one');
    await before.stop();
    const after = await start();
    expect(await ask(after.primary.adminUrl, 'select one from kept')).toBe(1);
    expect(new URL(after.primary.url).username).toBe('readback');
    expect(new URL(after.primary.adminUrl).password).toBe(new URL(before.primary.adminUrl).password);
    expect(statSync(join(dir, 'pgpass')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir).filter((name) => /\.pw$|\.new/.test(name))).toEqual([]);
  });

  it('stop when the process that started them is killed, and a start at that moment waits for it', async () => {
    const other = await startElsewhere();
    const keeper = pidIn('keeper.pid');
    other.kill('SIGKILL');
    const pair = await start();
    expect(argumentsOf(keeper)).toBeUndefined();
    expect(await ask(pair.replica.adminUrl, 'select 1')).toBe(1);
  });

  it('recover when their keeper is killed: the orphans are stopped before the next start', async () => {
    const pair = await start();
    const orphan = pidIn('primary/postmaster.pid');
    process.kill(pidIn('keeper.pid'), 'SIGKILL');
    expect(await pair.failed).toBe('The keeper of the embedded servers ended: SIGKILL');
    expect(isPostmasterOf(data, orphan)).toBe(true);
    const next = await start();
    expect(said).toContain(`Stopping the primary that an earlier run left behind (process ${orphan})…`);
    await pair.stop();
    expect(await ask(next.primary.adminUrl, 'select 1'), 'the old handle stops nothing of the new run').toBe(1);
  });

  it('stop() ends the servers also after their keeper was killed', async () => {
    const pair = await start();
    const orphan = pidIn('primary/postmaster.pid');
    process.kill(pidIn('keeper.pid'), 'SIGKILL');
    await pair.stop();
    expect(isPostmasterOf(data, orphan)).toBe(false);
  });

  it('leave a process alone that has the number of an earlier keeper or postmaster', async () => {
    const stranger = spawn('sleep', ['60']);
    writeFileSync(join(dir, 'keeper.pid'), `${stranger.pid}\nan-old-token\nrunning\n`);
    writeFileSync(join(data, 'postmaster.pid'), `${stranger.pid}\n${data}\n1\n1\n\n\n\nready\n`);
    const pair = await start();
    expect(await ask(pair.primary.adminUrl, 'select 1')).toBe(1);
    expect([stranger.exitCode, stranger.signalCode]).toEqual([null, null]);
    stranger.kill();
  });

  it('two starts at one instant: one wins, the other says who runs', async () => {
    const results = await Promise.allSettled([start(), start()]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const lost = results.find((result) => result.status === 'rejected');
    expect(lost?.reason.message).toBe(
      `Readback already runs on ${dir} (process ${pidIn('keeper.pid')}): stop it first, or set READBACK_DIR to another folder.`,
    );
  });

  it('a server that dies is told with its reason, and one server can stop and start alone', async () => {
    const pair = await start();
    await pair.stopServer('replica');
    expect(await ask(pair.primary.adminUrl, 'select 1')).toBe(1);
    await pair.startServer('replica');
    process.kill(pidIn('replica/postmaster.pid'), 'SIGKILL');
    expect(await pair.failed).toMatch(/^The replica ended by itself: SIGKILL, /);
    await pair.startServer('replica');
    expect(await ask(pair.replica.adminUrl, 'select 1')).toBe(1);
    await expect(pair.stopServer('third')).rejects.toThrow('No server is named third, there are: primary, replica.');
  });
});

describe('embedded servers refuse in one line', { timeout: 60_000 }, () => {
  it('a taken port', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const advice = (variable: string): string =>
      `Port ${port} is taken: stop what listens there, or set ${variable} to a free port.`;
    await expect(start({ primaryPort: port })).rejects.toThrow(advice('EMBEDDED_PRIMARY_PORT'));
    await expect(start({ replicaPort: port })).rejects.toThrow(advice('EMBEDDED_REPLICA_PORT'));
    listener.close();
  });

  it('a setting that PostgreSQL does not know, with the line of its log', async () => {
    const started = start({ settings: { no_such_setting: '1' } });
    await expect(started).rejects.toThrow(
      /^The (primary|replica) does not start: exit code 1, FATAL: .*no_such_setting/,
    );
  });

  it('data of another version, passwords that are gone, a folder that is a file', async () => {
    const other = join(dir, 'other');
    mkdirSync(join(other, 'primary'), { recursive: true });
    await expect(start({ dir: other })).rejects.toThrow(`${other}/pgpass is missing, so nobody can open the data`);
    writeFileSync(join(other, 'pgpass'), '127.0.0.1:*:*:postgres:a\n127.0.0.1:*:*:readback:b\n', { mode: 0o600 });
    writeFileSync(join(other, 'primary', 'PG_VERSION'), '9\n');
    await expect(start({ dir: other })).rejects.toThrow(
      `The data in ${other}/primary is of PostgreSQL 9, the installed`,
    );
    const file = join(other, 'pgpass');
    await expect(start({ dir: file })).rejects.toThrow(`Cannot write in ${file}: EEXIST.`);
  });

  it('a platform without binaries', async () => {
    expect(() => findHome('win32', 'x64')).toThrow('No embedded PostgreSQL for win32-x64');
  });
});

it('three servers start as two do', { timeout: 60_000 }, async () => {
  const servers = ['primary', 'replica', 'replica-2'].map((name) => ({ name, port: 0 }));
  const cluster = await startEmbeddedServers({ dir, servers, say: () => {}, settings: { fsync: 'off' } });
  running.push(cluster);
  expect(Object.keys(cluster.servers)).toEqual(['primary', 'replica', 'replica-2']);
  expect(await ask(cluster.servers['replica-2']!.adminUrl, 'select 1')).toBe(1);
  await cluster.stop();
  expect(await until(() => !existsSync(join(dir, 'keeper.pid')), 1)).toBe(true);
});
