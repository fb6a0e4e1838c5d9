import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './own-process.ts';

/** A real PgBouncer in front of one PostgreSQL server. */
export interface PgBouncer {
  /** The same login and database, through it. */
  through: (url: string, login?: { user: string; password: string }) => string;
  start: () => Promise<void>;
  /** As `kill -INT`-ing it: clients are thrown out. */
  stop: () => Promise<void>;
  remove: () => Promise<void>;
}

interface Options {
  /** What it leads to. */
  server: string;
  mode: 'session' | 'transaction';
  /** Of each login. */
  logins: Record<string, string>;
  settings?: Record<string, string | number>;
}

export async function pgBouncer({ server, mode, logins, settings = {} }: Options): Promise<PgBouncer> {
  const dir = mkdtempSync(join(tmpdir(), 'readback-pgbouncer-'));
  const port = await freePort();
  const { hostname, port: behind } = new URL(server);
  const lines = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'plain',
    auth_file: join(dir, 'userlist.txt'),
    pool_mode: mode,
    default_pool_size: 3,
    server_login_retry: 0.2,
    ...settings,
  };
  const ini = [
    `[databases]\n* = host=${hostname} port=${behind}`,
    '[pgbouncer]',
    ...Object.entries(lines).map(([name, value]) => `${name} = ${value}`),
  ];
  writeFileSync(join(dir, 'pgbouncer.ini'), `${ini.join('\n')}\n`);
  writeFileSync(
    join(dir, 'userlist.txt'),
    Object.entries(logins)
      .map(([user, password]) => `"${user}" "${password}"\n`)
      .join(''),
  );
  chmodSync(dir, 0o755);
  let child: ChildProcess | undefined;
  const stop = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGTERM'); // in 1.18 at once, without waiting for clients
    await exit;
  };
  return {
    through: (text, login) => {
      const url = new URL(text);
      url.host = `127.0.0.1:${port}`;
      if (login) Object.assign(url, { username: login.user, password: login.password });
      return url.href;
    },
    start: async () => {
      child = spawn('pgbouncer', [...asWhom(), join(dir, 'pgbouncer.ini')], { stdio: ['ignore', 'ignore', 'pipe'] });
      await running(child);
    },
    stop,
    remove: async () => {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** It refuses root. */
const asWhom = () => (process.getuid?.() === 0 ? ['--user=postgres'] : []);

async function running(child: ChildProcess): Promise<void> {
  let log = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.stderr!.on('data', (data: Buffer) => {
    log += data.toString();
    if (log.includes('process up')) resolve();
  });
  child.on('exit', () => reject(new Error(`PgBouncer ended: ${log}`)));
  await promise;
}
