import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { start } from '../../launch/child.mjs';

const running = new Map();

/** For whoever is stopped in the middle. */
export const stopChildren = () => Promise.all([...running.values()].map((stop) => stop()));

/** Node with these arguments, once it has said `ready`, and what `spawned` does with its id meanwhile is done. */
export async function startNode(args, env, ready, spawned) {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, NODE_ENV: 'production', GRAPHILE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit').finally(() => running.delete(child.pid));
  const stop = async () => {
    child.kill('SIGTERM');
    await exit;
  };
  running.set(child.pid, stop);
  const watching = spawned?.(child.pid);
  await said(child, ready, args);
  child.stdout.resume();
  await watching;
  return { pid: child.pid, stop };
}

async function said(child, ready, args) {
  let text = '';
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (text.includes(ready)) return;
  }
  throw new Error(`${args.join(' ')} ended before it said "${ready}": ${text}`);
}

/** What a program prints, in a process of its own; its last line is JSON. */
export async function runNode(args, input) {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(input));
  let text = '';
  for await (const chunk of child.stdout) text += chunk;
  if (text === '') throw new Error(`${args.join(' ')} ended without a result`);
  return JSON.parse(text);
}

/** A command whose output goes to an open file. Resolves with its exit code, or with what else ended it. */
export async function runToEnd([file, ...args], { cwd, output }) {
  const { child, exit } = start(file, args, { cwd, stdio: ['ignore', output, output], packages: false });
  const stop = async () => {
    child.kill('SIGTERM');
    await exit;
  };
  running.set(child.pid, stop);
  return exit.finally(() => running.delete(child.pid));
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Processor time of all threads of a process so far, in milliseconds: the kernel counts it in nanoseconds. */
export function cpuMs(pid) {
  const times = readdirSync(`/proc/${pid}/task`).map((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'),
  );
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0) / 1e6;
}

/** What a process takes from now until it is asked, in microseconds. */
export function cpuFromNow(pid) {
  const before = cpuMs(pid);
  return () => (cpuMs(pid) - before) * 1000;
}

/** Of all PostgreSQL processes whose data are in a folder of this name within `dir`, as far as they still run. */
export function databaseCpuMs(dir, name) {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.reduce((sum, pid) => sum + (isIn(pid, dir, name) ? cpuMs(pid) : 0), 0);
}

const GONE_OR_OTHERS = new Set(['ENOENT', 'ESRCH', 'EACCES']);

function isIn(pid, dir, name) {
  try {
    const cwd = readlinkSync(`/proc/${pid}/cwd`);
    return cwd.startsWith(`${dir}/`) && name.test(cwd.slice(dir.length));
  } catch (error) {
    if (!GONE_OR_OTHERS.has(error.code)) throw error;
    return false;
  }
}

/** Resident memory in MB. */
export const rssMb = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
