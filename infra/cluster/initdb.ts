import { execFile } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Binaries } from './binaries.ts';
import type { RunAs } from './run-as.ts';

const run = promisify(execFile);

/**
 * In postgresql.conf, so that alter system may change them: a replica that stays away for too long must be copied again,
 * and does not fill the disk.
 */
const SLOT_LIMITS = ['max_slot_wal_keep_size=4GB', 'idle_replication_slot_timeout=1d'];

export interface InitOptions {
  dir: string;
  shown: string;
  binaries: Binaries;
  runAs: RunAs;
  password: string;
  /** false: the data need not survive a crash of the machine. */
  durable: boolean;
  say: (line: string) => void;
  signal: AbortSignal;
}

/** Creates the data of those servers that have none. */
export async function initAll(names: string[], options: InitOptions): Promise<void> {
  const missing = names.filter((name) => !hasData(name, options));
  if (missing.length === 0) return;
  const passwordFile = writePasswordFile(options);
  try {
    await Promise.all(missing.map((name) => init(name, passwordFile, options)));
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

function hasData(name: string, { dir, shown, binaries }: InitOptions): boolean {
  const data = join(dir, name);
  if (!existsSync(data)) return false;
  const file = join(data, 'PG_VERSION');
  if (!existsSync(file))
    throw new Error(`${shown}/${name} holds no PostgreSQL data: move it away, or set READBACK_DIR.`);
  const version = readFileSync(file, 'utf8').trim();
  if (version === String(binaries.major)) return true;
  throw new Error(
    `The data in ${shown}/${name} is of PostgreSQL ${version}, the installed one is ${binaries.major}: ` +
      `remove ${shown} to start with empty databases, or set READBACK_DIR to another folder.`,
  );
}

/** A file, as arguments and environments show in ps; in our folder, as the shared one for temporary files is not ours. */
function writePasswordFile({ dir, runAs, password }: InitOptions): string {
  const file = join(dir, 'initdb.pw');
  writeFileSync(file, `${password}\n`, { mode: 0o600, flag: 'wx' });
  if (runAs.owner) chownSync(file, runAs.owner.uid, runAs.owner.gid);
  return file;
}

/**
 * A folder counts once it has its final name, which it gets when complete. The name before is different each time: an
 * initdb that outlived its killed keeper can't write into ours. It syncs (0.2 s) before the rename, as a later
 * checkpoint syncs only what changed since: without that, a machine crash could leave a complete name on torn files.
 */
async function init(name: string, passwordFile: string, options: InitOptions): Promise<void> {
  const { dir, runAs, binaries, say, signal } = options;
  say(`Creating the ${name} (first start only)…`);
  const fresh = join(dir, `${name}.new-${process.pid}-${Date.now()}`);
  mkdirSync(fresh, { mode: 0o700 });
  if (runAs.owner) chownSync(fresh, runAs.owner.uid, runAs.owner.gid);
  const { file, args, options: as } = runAs.command(binaries.initdb, [...initFlags(fresh, passwordFile, options)]);
  try {
    await run(file, args, { ...as, cwd: '/', encoding: 'utf8', signal, killSignal: 'SIGKILL' });
  } catch (cause) {
    rmSync(fresh, { recursive: true, force: true, maxRetries: 10 });
    throw new Error(`Cannot create the ${name}: ${reasonOf(cause)}`, { cause });
  }
  renameSync(fresh, join(dir, name));
}

/** PostgreSQL's own locale, the same everywhere, is there from 17 on; before, it is the machine's. */
const localeFlags = (major: number) =>
  major >= 17 ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : ['--locale=C.UTF-8'];

/** Earlier versions run in tests alone, where no replica stays away: not all of them know the limits, or --set. */
const limitFlags = (major: number) => (major >= 18 ? SLOT_LIMITS.map((setting) => `--set=${setting}`) : []);

function initFlags(data: string, passwordFile: string, { durable, binaries }: InitOptions): string[] {
  return [
    `--pgdata=${data}`,
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    ...localeFlags(binaries.major),
    ...limitFlags(binaries.major),
    ...(durable ? [] : ['--no-sync']),
  ];
}

function reasonOf(error: unknown): string {
  const { stderr = '', message } = error as { stderr?: string; message: string };
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => /error|fatal/i.test(line)) ?? lines.at(-1) ?? message;
}
