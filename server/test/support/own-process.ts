import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { DatabaseConfig } from '../../boot/config.ts';
import { projectRoot } from '../../lib/root.ts';
import { buildChanged } from '../../../infra/launch/prepare.mjs';

/** A server in a process of its own, for tests that kill it. */
export interface OwnProcess {
  url: string;
  pid: () => number;
  /** SIGKILL. */
  kill: () => Promise<void>;
  /** Resolves when it listens. */
  start: () => Promise<void>;
  stop: () => Promise<void>;
}

export async function ownProcess(
  databases: DatabaseConfig,
  settings: Record<string, string> = {},
  /** Files that it may have open. Left out: as many as this process. */
  openFiles?: number,
  /** The project. */
  root = projectRoot,
): Promise<OwnProcess> {
  if ((await buildChanged()) !== 0) throw new Error('the build failed');
  const port = await freePort();
  const environment = {
    ...process.env,
    ACCESS: 'open',
    ...settings,
    PORT: String(port),
    PRIMARY_URL: databases.primary.url,
    REPLICA_URLS: databases.replicas.map(({ url }) => url).join(','),
  };
  let child: ChildProcess | undefined;
  const end = async (signal: NodeJS.Signals) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    pid: () => child!.pid!,
    kill: () => end('SIGKILL'),
    start: async () => {
      const limit = openFiles === undefined ? '' : `ulimit -n ${openFiles} && `;
      const call = [process.execPath, join(root, 'dist/readback/main.js'), 'serve'];
      child = spawn('sh', ['-c', `${limit}exec "$0" "$@"`, ...call], {
        env: environment,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit').then(() => Promise.reject(new Error('the server ended')));
      ended.catch(() => undefined);
      await Promise.race([ended, said(child, 'Readback is ready')]);
      child.stdout!.resume();
    },
    stop: () => end('SIGTERM'),
  };
}

async function said(child: ChildProcess, text: string): Promise<void> {
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false }))
    if (String(chunk).includes(text)) return;
}

/** Below those that the system hands out: it stays free while its server is away. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
