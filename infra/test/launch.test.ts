import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { projectRoot } from '../../server/lib/root.ts';
import { freshDatabases } from '../../server/test/support/databases.ts';
import { freePort } from '../../server/test/support/own-process.ts';

/** The launcher, leader of a process group of its own, as a shell's job is. */
function launch(args: string[], environment: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [join(projectRoot, 'infra/launch.mjs'), ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment, npm_lifecycle_event: undefined },
  });
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
  });
  return child;
}

/** Resolves with all that it said when it says `text`. */
async function said(child: ChildProcess, text: string): Promise<void> {
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false }))
    if (String(chunk).includes(text)) return;
  throw new Error(`ended without saying: ${text}`);
}

const ended = async (child: ChildProcess) => (await once(child, 'exit'))[0] as number | null;

test('SIGINT to the launcher alone ends what it runs, as SIGTERM does', async () => {
  const script = `process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000); console.log('runs')`;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const child = launch(['--bin', 'node', '-e', script]);
    await said(child, 'runs');
    child.kill(signal);
    expect([signal, await ended(child)]).toEqual([signal, 7]);
  }
});

test('SIGINT, to the launcher alone or by Ctrl-C to all of its group, ends a server gracefully', async () => {
  const databases = await freshDatabases();
  onTestFinished(() => databases.drop());
  const [replica] = databases.config.replicas;
  const environment = {
    PRIMARY_URL: databases.config.primary.url,
    REPLICA_URLS: replica!.url,
    PORT: String(await freePort()),
  };
  for (const target of ['alone', 'group']) {
    const child = launch(['serve'], environment);
    await said(child, 'Ctrl-C stops it.');
    const stopped = said(child, 'Stopped.');
    process.kill(target === 'alone' ? child.pid! : -child.pid!, 'SIGINT');
    const [code] = await Promise.all([ended(child), stopped]);
    expect([target, code]).toEqual([target, 0]);
  }
});
