/** An earlier commit of this repository, built in a folder of its own, where it stays for the next run. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../launch/child.mjs';
import { runToEnd } from './processes.mjs';

const git = (from, ...args) =>
  execFileSync('git', args, { cwd: from, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();

/** The commit that a name stands for. @throws Error in one line. */
export function commitOf(name, from = root) {
  try {
    return git(from, 'rev-parse', '--verify', '--quiet', `${name}^{commit}`);
  } catch {
    throw new Error(`expected a commit of this repository, and git knows none called ${name}`);
  }
}

/** Its short id and its subject. */
export const describeCommit = (commit, from = root) => git(from, 'show', '--no-patch', '--format=%h %s', commit);

/** The folder of the built commit: one that has its final name was built to the end. @throws Error in one line. */
export async function builtCommit(commit, { from = root, into = join(root, 'dist/before'), say = () => {} } = {}) {
  const home = join(into, commit);
  if (existsSync(home)) return home;
  const made = `${home}.part`;
  const log = `${home}.log`;
  for (const left of [made, log]) rmSync(left, { recursive: true, force: true });
  mkdirSync(made, { recursive: true });
  try {
    await build(commit, { from, made, log, say });
    renameSync(made, home);
    return home;
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

async function build(commit, { from, made, log, say }) {
  const run = (...command) => ranWell(command, { cwd: made, log });
  await run('git', '-C', from, 'archive', '--format=tar', '-o', join(made, '.tar'), commit);
  await run('tar', '-xf', '.tar');
  rmSync(join(made, '.tar'));
  const same = packages(from) === packages(made);
  say(`building ${commit.slice(0, 7)}, with ${same ? "today's packages" : 'packages of its own'} (once)`);
  // Links to files rather than to the folder: an npm that replaces what is there leaves today's packages alone.
  if (same) await run('cp', '-al', join(from, 'node_modules'), 'node_modules');
  else await run('npm', 'ci', '--include=dev', '--loglevel=error', '--no-fund', '--no-audit');
  await run('npm', 'run', 'build');
  if (!existsSync(join(made, 'dist/readback/main.js')))
    throw new Error('its build makes no dist/readback/main.js: it is too old to be compared');
}

async function ranWell(command, { cwd, log }) {
  const output = openSync(log, 'a');
  try {
    const code = await runToEnd(command, { cwd, output });
    if (code === 0) return;
    const said = command.slice(0, command[0] === 'npm' ? 3 : 1).join(' ');
    throw new Error(`it cannot be built: ${said} ended with ${code}; what it printed is in ${log}`);
  } finally {
    closeSync(output);
  }
}

/** What decides which packages there are, and what is in them. */
function packages(folder) {
  const patches = join(folder, 'infra/patches');
  const names = existsSync(patches) ? readdirSync(patches).filter((name) => name.endsWith('.patch')) : [];
  const files = ['package-lock.json', ...names.toSorted().map((name) => join('infra/patches', name))];
  return JSON.stringify(files.map((file) => [file, textOf(join(folder, file))]));
}

const textOf = (file) => (existsSync(file) ? readFileSync(file, 'utf8') : '');
