import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';

const dist = new URL('../../dist/', import.meta.url);

/** A fresh primary and replica, set up, with what undoes them. */
export async function startPair() {
  const { startEmbedded } = await import(new URL('infra/cluster/embedded.js', dist));
  const { setUp } = await import(new URL('server/setup/setup.js', dist));
  const { readConfig } = await import(new URL('server/config.js', dist));
  const dir = mkdtempSync(join(tmpdir(), 'readback-load-'));
  const settings = { fsync: 'off', max_wal_size: '4GB' };
  const pair = await startEmbedded({ dir, primaryPort: 0, replicaPort: 0, say() {}, settings });
  await setUp({ primary: pair.primary, replicas: [pair.replica], replicationUrl: undefined }, readConfig({}), () => {});
  const [primary, replica] = [pair.primary, pair.replica].map(({ adminUrl }) =>
    postgres(adminUrl, { max: 4, onnotice() {} }),
  );
  const stop = async () => {
    await Promise.all([primary.end(), replica.end()]);
    await pair.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { pair, primary, replica, stop };
}

/** `readback serve` over the pair, in a process of its own. */
export async function startServer({ pair }, settings = {}) {
  const port = await freePort();
  const env = {
    ...process.env,
    PORT: String(port),
    ACCESS: 'open',
    PRIMARY_URL: pair.primary.url,
    REPLICA_URLS: pair.replica.url,
    ...settings,
  };
  const child = await startNode([fileURLToPath(new URL('readback/main.js', dist)), 'serve'], env, 'Readback is ready');
  return { url: `http://127.0.0.1:${port}`, ...child };
}

/** Node with these arguments, once it has said `ready`. */
async function startNode(args, env, ready) {
  const child = spawn(process.execPath, ['--expose-gc', ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) if (String(chunk).includes(ready)) break;
  child.stdout.resume();
  const stop = async () => {
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await exit;
  };
  return { pid: child.pid, stop };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Processor time of a process so far, user and system, in milliseconds (of 100 Hz ticks). */
export function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory in MB. */
export const rssMb = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

export const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)];
export const ms = (value) => `${value.toFixed(2)} ms`;
