import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { complain, modules, node24, root, start, stopCode } from './child.mjs';

const stamp = join(root, 'dist/.built');
const lock = join(root, 'dist/.lock');
const bundlers = ['infra/launch/program.mjs', 'infra/launch/pages.mjs'];

/** Each resolves with an exit code, 0 also when there was nothing to do. */
export const installMissing = () => locked(() => existsSync(node24) && isInstalled(root) && isPatched(), install);
export const buildChanged = () => locked(isBuilt, build);

/** npm notes in node_modules what it put there: where that is what the lock file asks for, all is there. */
export function isInstalled(folder) {
  const files = [join(folder, 'package-lock.json'), join(folder, 'node_modules/.package-lock.json')];
  if (!existsSync(files[1])) return false;
  const [wanted, there] = files.map((file) => JSON.parse(readFileSync(file, 'utf8')).packages);
  const same = ([path, { version, optional, devOptional }]) =>
    path === '' || (there[path] ? there[path].version === version : optional || devOptional);
  return Object.entries(wanted).every(same);
}

/** Packages keep their versions when a patch of one changes. npm's postinstall keeps those that it put in. */
const isPatched = () => patchesIn('infra/patches') === patchesIn('node_modules/.patches');

function patchesIn(path) {
  const folder = join(root, path);
  if (!existsSync(folder)) return '';
  const names = readdirSync(folder).filter((name) => name.endsWith('.patch'));
  return JSON.stringify(names.sort().map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

async function install() {
  console.error('Installing packages (once)…');
  const flags = ['--include=dev', '--loglevel=error', '--no-fund', '--no-audit'];
  const code = await start('npm', ['ci', ...flags], { cwd: root, packages: false }).exit;
  if (code !== 0 || existsSync(node24)) return code;
  return complain(1, 'Node 24 is missing, as npm ran no install scripts: run npm rebuild --ignore-scripts=false');
}

/** Names, sizes and times of what the build reads, so that a removed or an older file counts too. */
export function sources() {
  const hash = createHash('sha256');
  const add = (path) => {
    const { size, mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? {};
    hash.update(`${path} ${size} ${mtimeMs}\n`);
  };
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name === 'node_modules') continue;
      if (entry.isDirectory()) walk(join(folder, entry.name));
      else if (/\.(tsx?|css|html|svg|patch)$/.test(entry.name)) add(join(folder, entry.name));
    }
  };
  ['server', 'schema', 'infra'].forEach((name) => walk(join(root, name)));
  ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json', ...bundlers].forEach((name) => add(join(root, name)));
  return hash.digest('hex');
}

const isBuilt = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === sources();

/** A file saved while the compiler runs makes the stamp differ from it, so the next launch builds again. */
async function build() {
  console.error('Building…');
  const built = sources();
  const [program, pages] = bundlers.map((file) => () => start(node24, [file], { cwd: root }).exit);
  const compile = () => start(join(modules, '.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: root }).exit;
  const codes = await Promise.all([compile().then((code) => code || program()), pages()]);
  const code = codes.find((each) => each !== 0) ?? 0;
  if (code === 0) writeFileSync(stamp, built);
  return code;
}

/** One launch at a time installs or builds. The holder touches the lock: one that stays untouched was killed. */
async function locked(isDone, work) {
  if (isDone()) return 0;
  mkdirSync(dirname(lock), { recursive: true });
  for (const deadline = Date.now() + 600_000; !claim(); await sleep(200)) {
    if (stopCode() !== undefined) return stopCode();
    if (Date.now() > deadline) return complain(1, `${lock} is still held after 10 minutes: remove it.`);
  }
  const touch = setInterval(() => utimesSync(lock, new Date(), new Date()), 1_000);
  try {
    return isDone() ? 0 : await work();
  } finally {
    clearInterval(touch);
    rmSync(lock, { recursive: true, force: true });
  }
}

/** The stale one is renamed, not removed: of two launches that find it stale, the second finds nothing to rename. */
function claim() {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const touched = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  if (Date.now() - touched > 10_000) discard();
  return false;
}

function discard() {
  const stale = `${lock}.${process.pid}`;
  try {
    renameSync(lock, stale);
    rmSync(stale, { recursive: true });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}
