import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { loadPasswords, urlsOf } from './folder.ts';
import { isPostmasterOf } from './processes.ts';
import type { ServerUrls } from './protocol.ts';

const NAMES = ['primary', 'replica'];

/** The pair that another process runs on this folder at the moment; undefined where there is none, or only half of it. */
export function findRunning(dir: string): { primary: ServerUrls; replica: ServerUrls } | undefined {
  if (!existsSync(dir)) return undefined;
  const real = realpathSync(dir);
  const [primary, replica] = NAMES.map((name) => portOf(join(real, name)));
  if (primary === undefined || replica === undefined) return undefined;
  const passwords = loadPasswords(real, dir, NAMES);
  return { primary: urlsOf(primary, passwords), replica: urlsOf(replica, passwords) };
}

/** PostgreSQL's own note of the process and, three lines on, its port; it stays behind after a crash. */
function portOf(data: string): number | undefined {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const [pid, , , port] = readFileSync(file, 'utf8').split('\n').map(Number);
  return pid && port && isPostmasterOf(data, pid) ? port : undefined;
}

/** The pair of this folder, running or not: at the ports that each has, or else would have. Undefined where there is no folder of ours. */
export function findPair(
  dir: string,
  ports: { primary: number; replica: number },
): { primary: ServerUrls; replica: ServerUrls } | undefined {
  if (!existsSync(join(dir, 'pgpass'))) return undefined;
  const real = realpathSync(dir);
  const passwords = loadPasswords(real, dir, NAMES);
  return {
    primary: urlsOf(portOf(join(real, 'primary')) ?? ports.primary, passwords),
    replica: urlsOf(portOf(join(real, 'replica')) ?? ports.replica, passwords),
  };
}
