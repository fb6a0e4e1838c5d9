import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A running process's arguments; undefined when it is gone or only a zombie. */
export function argumentsOf(pid: number): string[] | undefined {
  try {
    const command = process.platform === 'linux' ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : askPs(pid);
    return command === '' ? undefined : command.split(process.platform === 'linux' ? '\0' : ' ');
  } catch {
    return undefined;
  }
}

function askPs(pid: number): string {
  const stdio = ['ignore', 'pipe', 'ignore'] as const;
  return execFileSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], {
    encoding: 'utf8',
    stdio: [...stdio],
  }).trim();
}

/** Whether `pid` is a postmaster of this very data folder: the pid in a stale file may be anybody's by now. */
export function isPostmasterOf(data: string, pid: number): boolean {
  const [command, ...args] = argumentsOf(pid) ?? [];
  if (command === undefined || basename(command) !== 'postgres') return false;
  // The postmaster works in its data folder, also after somebody moved it; where that can't be read, it was started with -D.
  return workingFolder(pid) === data || args.join(' ').startsWith(`-D ${data} `);
}

function workingFolder(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

/** Also true of a zombie. */
export function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Fast shutdown, then immediate, then the end; the last is only for a postmaster that hangs in the kernel. */
const LADDER = [
  ['SIGINT', 10_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
] as const;

export async function shutDown(pid: number, goneWithin: (ms: number) => Promise<boolean>): Promise<void> {
  for (const [signal, ms] of LADDER) {
    if (!send(pid, signal) || (await goneWithin(ms))) return;
  }
  throw new Error(`PostgreSQL (process ${pid}) does not end, not even on SIGKILL: look at its log and its disk.`);
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Polls, as the end of a process that is not our child is announced by nobody. */
export async function until(done: () => boolean, ms: number, everyMs = 15): Promise<boolean> {
  for (const deadline = Date.now() + ms; !done();) {
    if (Date.now() > deadline) return false;
    await sleep(everyMs);
  }
  return true;
}
