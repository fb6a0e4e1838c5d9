/** Installs and builds what is missing, then measures: the other servers are packages of this folder alone. */
import { fileURLToPath } from 'node:url';
import { listen, start } from '../launch/child.mjs';
import { buildChanged, isInstalled } from '../launch/prepare.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));

function install() {
  if (isInstalled(folder)) return 0;
  console.error('Installing the servers to compare with (once)…');
  const flags = ['--loglevel=error', '--no-fund', '--no-audit'];
  return start('npm', ['ci', ...flags], { cwd: folder }).exit;
}

async function main(args) {
  return (
    (await install()) || (await buildChanged()) || start(process.execPath, ['bench.mjs', ...args], { cwd: folder }).exit
  );
}

listen();
process.exitCode = await main(process.argv.slice(2));
