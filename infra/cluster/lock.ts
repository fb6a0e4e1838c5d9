import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { argumentsOf } from './processes.ts';

/**
 * `keeper.pid` says which keeper holds the folder: process id, token, phase. The token is also an argument of that
 * process, so that a reused process id is never taken for a keeper.
 */
interface Holder {
  text: string;
  pid: number;
  token: string;
  phase: string;
}

export interface FolderLock {
  /** Tells a next start to wait: this keeper is shutting its servers down. */
  stopping(): void;
  release(): void;
}

/** A keeper needs a moment to see that its parent is gone: only after that does "running" mean it. */
const GRACE_MS = 1_000;
const STOPPING_MS = 15_000;

export async function lockFolder(dir: string, shown: string, token: string, signal: AbortSignal): Promise<FolderLock> {
  const file = join(dir, 'keeper.pid');
  for (const begin = Date.now(); ; await sleep(25, undefined, { signal })) {
    if (claim(file, token)) return held(file, token);
    const holder = read(file);
    if (holder === undefined) continue;
    if (!runs(holder)) removeStale(file, holder);
    else if (Date.now() - begin > (holder.phase === 'stopping' ? STOPPING_MS : GRACE_MS)) throw taken(shown, holder);
  }
}

export function holdsFolder(dir: string, token: string): boolean {
  try {
    return read(join(dir, 'keeper.pid'))?.token === token;
  } catch {
    return false;
  }
}

/** A keeper runs on the folder, or is about to stop. */
export function isHeld(dir: string): boolean {
  const holder = read(join(dir, 'keeper.pid'));
  return holder !== undefined && runs(holder);
}

/** link() makes the file appear with its text or not at all: of two starts at one instant, one gets EEXIST. */
function claim(file: string, token: string): boolean {
  const draft = write(file, token, 'running');
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function write(file: string, token: string, phase: string): string {
  const draft = `${file}.${token}`;
  writeFileSync(draft, `${process.pid}\n${token}\n${phase}\n`, { mode: 0o600 });
  return draft;
}

function held(file: string, token: string): FolderLock {
  return {
    stopping: () => renameSync(write(file, token, 'stopping'), file),
    release: () => {
      if (read(file)?.token === token) rmSync(file, { force: true });
    },
  };
}

function read(file: string): Holder | undefined {
  try {
    const text = readFileSync(file, 'utf8');
    const [pid = '', token = '', phase = ''] = text.split('\n');
    return { text, pid: Number(pid), token, phase };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function runs({ pid, token }: Holder): boolean {
  return token !== '' && argumentsOf(pid)?.includes(token) === true;
}

/**
 * Two starts may both find the same stale file; were both to remove it, the second would remove the first one's fresh
 * lock. So only the holder of a guard removes, and only if the text is still the one that was found stale.
 */
function removeStale(file: string, seen: Holder): void {
  const guard = `${file}.guard`;
  try {
    writeFileSync(guard, '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return removeOldGuard(guard);
  }
  try {
    if (read(file)?.text === seen.text) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/** The guard is held for microseconds: an older one belongs to a process that was killed just there. */
function removeOldGuard(guard: string): void {
  const made = statSync(guard, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  if (Date.now() - made > 5_000) rmSync(guard, { force: true });
}

function taken(shown: string, { pid, phase }: Holder): Error {
  const advice = 'stop it first, or set READBACK_DIR to another folder.';
  if (phase !== 'stopping') return new Error(`Readback already runs on ${shown} (process ${pid}): ${advice}`);
  return new Error(`Readback is still stopping on ${shown} (process ${pid}) after ${STOPPING_MS / 1000} s: ${advice}`);
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
