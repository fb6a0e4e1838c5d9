/** Installs earlier versions of PostgreSQL where they are missing, then runs Readback on them. */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { listen, modules, root, start } from '../launch/child.mjs';
import { buildChanged, isInstalled } from '../launch/prepare.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));
const suite = ['run', '--project', 'apart', 'infra/test/versions.test.ts', 'infra/test/upgrade.test.ts'];

function install() {
  if (isInstalled(folder)) return 0;
  console.error('Installing earlier versions of PostgreSQL (once)…');
  const flags = ['--ignore-scripts', '--loglevel=error', '--no-fund', '--no-audit'];
  return start('npm', ['ci', ...flags], { cwd: folder, packages: false }).exit;
}

async function main(args) {
  return (
    (await install()) ||
    (await buildChanged()) ||
    start(join(modules, '.bin/vitest'), [...suite, ...args], { cwd: root }).exit
  );
}

listen();
process.exitCode = await main(process.argv.slice(2));
