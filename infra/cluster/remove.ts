import { existsSync, readdirSync, realpathSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isHeld } from './lock.ts';
import { stopOrphans } from './folder.ts';

const OURS = /^(pgpass|keeper\.pid.*|initdb\.pw|.+\.new-.+|.+\.log(\.1)?)$/;

/** What the embedded servers have in their folder: data, logs, passwords. Whatever else somebody put there is not listed. */
export function contentsOf(dir: string): string[] {
  if (!existsSync(dir)) return [];
  const isOurs = (name: string) => OURS.test(name) || existsSync(join(dir, name, 'PG_VERSION'));
  return readdirSync(dir).filter(isOurs).toSorted();
}

/** Removes that, and the folder where nothing is left in it. @throws Error while somebody runs on it. */
export async function removeContents(dir: string, say: (line: string) => void): Promise<void> {
  if (!existsSync(dir)) return;
  const real = realpathSync(dir);
  if (isHeld(real)) throw new Error(`Readback runs on ${dir}: stop it first.`);
  await stopOrphans(real, say);
  for (const name of contentsOf(real)) rmSync(join(real, name), { recursive: true, force: true });
  if (readdirSync(real).length === 0) rmdirSync(real);
}
