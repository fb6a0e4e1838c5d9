import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { projectRoot } from '../../lib/root.ts';

/** By their paths in the project; code gets prettier's lines. */
export function write(files: Record<string, string>, root: string): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const code = Object.keys(files).filter((path) => path.endsWith('.ts'));
  spawnSync(join(projectRoot, 'node_modules/.bin/prettier'), ['--write', '--log-level', 'warn', ...code], {
    cwd: root,
  });
}
