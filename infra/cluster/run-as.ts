import { execFile, type SpawnOptions } from 'node:child_process';
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Binaries } from './binaries.ts';

const run = promisify(execFile);

export interface Owner {
  uid: number;
  gid: number;
}

/** How to start a PostgreSQL program: as this user, or, when this user is root, as another one. */
export interface RunAs {
  /** Whom the data belongs to; undefined: to this user. */
  owner?: Owner;
  command(file: string, args: string[]): { file: string; args: string[]; options: SpawnOptions };
}

const AS_THIS_USER: RunAs = { command: (file, args) => ({ file, args, options: {} }) };

/**
 * PostgreSQL refuses root. As root, the user is the owner of the data that is there, else `postgres`, with the least
 * that reaches both the programs and the folder: a superuser of the database can read what that process can read.
 */
export async function chooseRunAs(
  dir: string,
  names: string[],
  binaries: Binaries,
  say: (line: string) => void,
): Promise<RunAs> {
  if (process.getuid?.() !== 0) return AS_THIS_USER;
  const owner = ownerOfData(dir, names) ?? (await findUser()) ?? (await createUser(say));
  const mode = statSync(dir).mode & 0o7777;
  chmodSync(dir, mode | 0o011);
  for (const candidate of candidates(owner)) {
    if (!(await reaches(candidate, dir, binaries))) continue;
    if (candidate.capability !== undefined) chmodSync(dir, mode);
    return candidate;
  }
  chmodSync(dir, mode);
  throw new Error(
    `PostgreSQL does not run as root, and user ${owner.uid} can't enter ${dir} or read ${binaries.postgres}: ` +
      'run as an ordinary user, or move the project to a folder that others may enter.',
  );
}

function ownerOfData(dir: string, names: string[]): Owner | undefined {
  for (const name of names) {
    const data = statSync(join(dir, name), { throwIfNoEntry: false });
    if (data !== undefined && data.uid !== 0) return { uid: data.uid, gid: data.gid };
  }
  return undefined;
}

async function findUser(): Promise<Owner | undefined> {
  try {
    const [uid, gid] = await Promise.all(
      ['-u', '-g'].map(async (flag) => (await run('id', [flag, 'postgres'])).stdout),
    );
    return { uid: Number(uid), gid: Number(gid) };
  } catch {
    return undefined;
  }
}

async function createUser(say: (line: string) => void): Promise<Owner> {
  say('PostgreSQL does not run as root: creating the system user postgres for it…');
  try {
    await run('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/bin/false', 'postgres']);
  } catch {
    // The lookup below tells: a second start may have created it meanwhile.
  }
  const owner = await findUser();
  if (owner !== undefined) return owner;
  throw new Error('PostgreSQL does not run as root: run as an ordinary user, or create a user named postgres.');
}

interface Candidate extends RunAs {
  owner: Owner;
  capability?: string;
}

/** From least to most; DAC_OVERRIDE is for containers, which keep it and drop DAC_READ_SEARCH. */
function candidates(owner: Owner): Candidate[] {
  const capable = ['dac_read_search', 'dac_override'].map((capability) => withSetpriv(owner, capability));
  const options: SpawnOptions = { uid: owner.uid, gid: owner.gid };
  return [withSetpriv(owner), ...capable, { owner, command: (file, args) => ({ file, args, options }) }];
}

function withSetpriv(owner: Owner, capability?: string): Candidate {
  const caps = capability === undefined ? ['--inh-caps=-all'] : capabilityFlags(capability);
  const flags = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--no-new-privs', ...caps, '--'];
  return {
    owner,
    ...(capability === undefined ? {} : { capability }),
    command: (file, args) => ({ file: 'setpriv', args: [...flags, file, ...args], options: {} }),
  };
}

/** PostgreSQL asks access(2) about its own file, which disregards capabilities unless no_setuid_fixup is set. */
function capabilityFlags(capability: string): string[] {
  const caps = `-all,+${capability}`;
  return ['--securebits=+no_setuid_fixup', `--inh-caps=${caps}`, `--ambient-caps=${caps}`];
}

/** PostgreSQL exits with 0 and complains on stderr when it can't read its own file. */
async function reaches(candidate: Candidate, dir: string, { postgres, initdb, sample }: Binaries): Promise<boolean> {
  const script = 'cd "$1" && test -r "$2" && "$3" --version && exec "$4" --version';
  const { file, args, options } = candidate.command('sh', ['-c', script, 'sh', dir, sample, initdb, postgres]);
  try {
    const { stderr } = await run(file, args, { ...options, cwd: '/', encoding: 'utf8', timeout: 10_000 });
    return stderr === '';
  } catch {
    return false;
  }
}
