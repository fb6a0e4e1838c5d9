import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../boot/config.ts';
import { SetupError } from '../lib/errors.ts';
import { projectRoot } from '../lib/root.ts';
import type { Say } from '../lib/logger.ts';
import { openServer } from '../setup/servers.ts';
import { declarationFile, define, type Definition, type Wishes } from './add/definition.ts';
import { PROJECT, registered } from './add/register.ts';
import { filesFor } from './add/templates.ts';
import { withDatabases } from './databases.ts';

/** Writes the files that serve a table of the primary, and says what to run next; changes no database. */
export async function addCommand(
  table: string,
  wishes: Wishes,
  config: Config,
  say: Say,
  root = projectRoot,
): Promise<void> {
  refuseTaken([declarationFile(table)], root);
  const definition = await withDatabases(config, say, ({ primary }) =>
    read(primary.adminUrl, table, wishes, config, root),
  );
  const added = filesFor(definition, nextNumber(root));
  refuseTaken(Object.keys(added), root);
  const changed = { [PROJECT]: registered(definition, readFileSync(join(root, PROJECT), 'utf8')) };
  write({ ...added, ...changed }, root);
  for (const path of Object.keys(added)) say(`wrote    ${path}`);
  for (const path of Object.keys(changed)) say(`changed  ${path}`);
  const { withheld } = definition;
  say(`\n${withheld.length > 0 ? `Not sent to the replicas, and not served: ${withheld.join(', ')}.\n` : ''}${NEXT}`);
}

const NEXT =
  'Look at them, then run: npm run codegen && npm run check && npx readback migrate, and start the server again.';

function refuseTaken(paths: string[], root: string): void {
  const taken = paths.find((path) => existsSync(join(root, path)));
  if (taken !== undefined) throw new SetupError(`${taken} is there already: remove it to have it written again.`);
}

async function read(url: string, table: string, wishes: Wishes, config: Config, root: string): Promise<Definition> {
  const { admin } = openServer('primary', url, config, 'add');
  try {
    return await define(admin, table, wishes, root);
  } finally {
    await admin.end({ timeout: 5 });
  }
}

function nextNumber(root: string): string {
  const names = ['primary', 'replica'].flatMap((side) => readdirSync(join(root, 'sql', side)));
  return String(1 + Math.max(...names.map((name) => parseInt(name, 10) || 0))).padStart(4, '0');
}

function write(files: Record<string, string>, root: string): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const code = Object.keys(files).filter((path) => path.endsWith('.ts'));
  spawnSync(join(projectRoot, 'node_modules/.bin/prettier'), ['--write', ...code], { cwd: root });
}
