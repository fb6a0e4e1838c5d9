import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exists, isPostmasterOf, shutDown, until } from './processes.ts';
import type { ServerUrls } from './protocol.ts';

/** Creates the folder and returns its real path; the message tells whoever can't write there. */
export function openFolder(dir: string, shown: string): string {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const real = realpathSync(dir);
    const trial = join(real, `.writable-${process.pid}`);
    writeFileSync(trial, '', { mode: 0o600 });
    rmSync(trial);
    return real;
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    const advice = 'Give this user the right to write there, or set READBACK_DIR.';
    throw new Error(`Cannot write in ${shown}: ${reason}. ${advice}`, { cause });
  }
}

const LEFTOVER = /^(initdb\.pw|keeper\.pid\..+|.+\.new-.+)$/;

/** What a killed start left; younger lock drafts may belong to a start that is just finding out that we hold the lock. */
export function removeLeftovers(dir: string): void {
  for (const name of readdirSync(dir)) {
    if (!LEFTOVER.test(name)) continue;
    const young = name.startsWith('keeper.pid.') && Date.now() - modified(join(dir, name)) < 60_000;
    if (!young) removeQuietly(join(dir, name));
  }
}

/** An initdb that outlived its keeper for a moment may still write there: then a later start removes it. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
}

function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Servers whose keeper was killed run on: a new one could not open their data, so they go first. */
export async function stopOrphans(dir: string, say: (line: string) => void): Promise<void> {
  const stopOne = async (name: string): Promise<void> => {
    const pid = orphanOf(join(dir, name));
    if (pid === undefined) return;
    say(`Stopping the ${name} that an earlier run left behind (process ${pid})…`);
    await shutDown(pid, (ms) => until(() => !isPostmasterOf(join(dir, name), pid), ms));
  };
  await Promise.all(readdirSync(dir).map(stopOne));
}

function orphanOf(data: string): number | undefined {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const pid = parseInt(readFileSync(file, 'utf8'), 10);
  // Not above 1: to kill(), 0 and negative numbers are whole groups.
  if (pid > 1 && isPostmasterOf(data, pid)) return pid;
  // PostgreSQL refuses to start while any process of this user has that number, which in a container is soon the case.
  if (pid > 1 && exists(pid)) rmSync(file, { force: true });
  return undefined;
}

export interface Passwords {
  postgres: string;
  readback: string;
}

/** Reads `pgpass`, or writes it before the first data exists: data whose password nobody knows is of no use. */
export function loadPasswords(dir: string, shown: string, names: string[]): Passwords {
  const file = join(dir, 'pgpass');
  if (existsSync(file)) return readPasswords(file, shown);
  const orphaned = names.find((name) => existsSync(join(dir, name)));
  if (orphaned !== undefined) throw new Error(`${shown}/pgpass is missing, so nobody can open ${pathsAdvice(shown)}`);
  const passwords = { postgres: newPassword(), readback: newPassword() };
  const lines = Object.entries(passwords).map(([user, password]) => `127.0.0.1:*:*:${user}:${password}\n`);
  writeFileSync(`${file}.new-0`, lines.join(''), { mode: 0o600 });
  renameSync(`${file}.new-0`, file);
  return passwords;
}

function readPasswords(file: string, shown: string): Passwords {
  // libpq ignores a passfile that others may read.
  if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
  const text = readFileSync(file, 'utf8');
  const [postgres, readback] = ['postgres', 'readback'].map((user) => passwordOf(text, user));
  if (postgres && readback) return { postgres, readback };
  throw new Error(`${shown}/pgpass lacks the line of postgres or readback, so nobody can open ${pathsAdvice(shown)}`);
}

function passwordOf(text: string, user: string): string | undefined {
  return new RegExp(`^127\\.0\\.0\\.1:\\*:\\*:${user}:(.+)$`, 'm').exec(text)?.[1];
}

function pathsAdvice(shown: string): string {
  return `the data in ${shown}: put the file back, or remove ${shown} to start with empty databases.`;
}

function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

export function urlsOf(port: number, { postgres, readback }: Passwords): ServerUrls {
  const url = (user: string, password: string): string => `postgres://${user}:${password}@127.0.0.1:${port}/postgres`;
  return { adminUrl: url('postgres', postgres), url: url('readback', readback) };
}
