import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exists } from '../../../infra/cluster/processes.ts';

/** Linux's folder in memory; elsewhere there is none. */
const MEMORY = '/dev/shm';
/** Many times what the servers of a whole run take, most of it WAL. */
const ROOM = 8e9;
const MADE_BY = /^readback-servers-(\d+)-/;

/**
 * A folder for servers that need not survive a crash of the machine: in memory where there is room. Each database is
 * some 300 files, and on a disk making and deleting them takes a seventh of a run's processor time.
 */
export function quickFolder(): string {
  return hasRoom() ? folderIn(MEMORY) : folderIn(tmpdir());
}

/** For servers that flush. */
export const folderOnDisk = () => folderIn(tmpdir());

const folderIn = (parent: string) => mkdtempSync(join(parent, `readback-servers-${process.pid}-`));

function hasRoom(): boolean {
  if (!existsSync(MEMORY)) return false;
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize >= ROOM;
}

/** What a run that was killed has left in memory would stay there until the machine starts again. */
export function removeLeftOver(): void {
  if (!existsSync(MEMORY)) return;
  for (const name of readdirSync(MEMORY)) {
    const maker = MADE_BY.exec(name)?.[1];
    if (maker !== undefined && !exists(Number(maker))) rmSync(join(MEMORY, name), { recursive: true, force: true });
  }
}
