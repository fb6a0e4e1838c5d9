import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { onTestFinished } from 'vitest';
import { projectRoot } from '../../lib/root.ts';

/** The project's sql folder, as far as it is wanted, and these files besides, by their paths in it; gone when the test has ended. */
export function sqlFolderWith(files: Record<string, string>, isWanted: (path: string) => boolean = () => true): string {
  const folder = mkdtempSync(join(tmpdir(), 'readback-sql-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const all = join(projectRoot, 'sql');
  cpSync(all, folder, { recursive: true, filter: (path) => isWanted(relative(all, path)) });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text);
  return folder;
}
