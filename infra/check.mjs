/** The project's own checks, or those that are named: one that fails shows what it found, and is named again at the end. */
import { spawnSync } from 'node:child_process';
import { root } from './launch/child.mjs';

/** What is checked, how, and what repairs it. Whatever makes a committed file only compares it when run with --check. */
const checks = [
  ['format', 'prettier --check .', 'npm run format'],
  ['lint', 'oxlint'],
  ['types', 'tsc --noEmit -p tsconfig.json && tsc --noEmit -p server/console/tsconfig.json'],
  ['dead code', 'knip --no-progress'],
  [
    'schema and settings',
    'tsc -p tsconfig.build.json >/dev/null; node infra/launch/program.mjs && node dist/readback/schema.js --check',
    'npm run codegen',
  ],
  ['schema/generated', 'node infra/documents.mjs --check', 'npm run codegen'],
];

function passes([name, command]) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, { shell: true, cwd: root, encoding: 'utf8' });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name.padEnd(22)} ${seconds.padStart(5)} s`);
  if (status !== 0) console.log(`\n${stdout}${stderr}`);
  return status === 0;
}

const wanted = process.argv.slice(2);
const failed = checks.filter((check) => (wanted.length === 0 || wanted.includes(check[0])) && !passes(check));
for (const [name, command, repair] of failed) {
  console.error(`${name} failed: ${repair === undefined ? command : `${repair} repairs it`}`);
}
process.exitCode = failed.length > 0 ? 1 : 0;
