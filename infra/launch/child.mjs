import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(realpathSync(fileURLToPath(import.meta.url)))));
export const modules = join(root, 'node_modules');
export const node24 = join(modules, 'node/bin/node');
/**
 * For Node, where it serves. Requests leave much behind that lives for milliseconds: from the start there is room for
 * it, which takes a fifth off the processor time of large answers. It is 3 × (32 - 16) MB more than Node's own at most,
 * once it is used. The first line of server/main.ts has it, too.
 */
export const serverFlags = ['--min-semi-space-size=32', '--max-semi-space-size=32'];

const children = new Set();
const received = new Set();
const passedOn = new Set();

/** The code of the signal that asked this process to end, if one did. */
export const stopCode = () => (received.size > 0 ? codeOf([...received][0]) : undefined);

/**
 * Each may come to this process alone, from a process manager or an editor, so it is passed on, once: a second one would
 * cut the child's graceful end short. Ctrl-C reaches the whole group, so a child may have its own SIGINT already: from
 * here it gets SIGTERM, which is no second one.
 */
export function listen() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => passOn(signal));
  if (process.env.npm_lifecycle_event !== undefined) watchParent(process.ppid);
}

function passOn(signal) {
  received.add(signal);
  const sent = signal === 'SIGINT' ? 'SIGTERM' : signal;
  if (passedOn.has(sent)) return;
  passedOn.add(sent);
  for (const child of children) child.kill(sent);
}

/** npm passes SIGTERM to the shell between it and us, which ends without telling us. */
function watchParent(parent) {
  setInterval(() => process.ppid !== parent && passOn('SIGTERM'), 250).unref();
}

/** `exit` resolves with the code that a shell would give: 128 + n for a signal. */
export function start(file, args, { packages = true, ...options } = {}) {
  const PATH = [...(packages ? [join(modules, '.bin')] : []), ...otherFolders()].join(delimiter);
  const child = spawn(file, args, { stdio: 'inherit', ...options, env: { ...process.env, PATH } });
  children.add(child);
  const exit = new Promise((resolve) => {
    child.once('error', ({ code }) => resolve(complain(127, `Cannot run ${file} (${code}): is it installed?`)));
    child.once('exit', (code, signal) => resolve(code ?? codeOf(signal)));
  }).finally(() => children.delete(child));
  return { child, exit };
}

/** npm must not run on the Node 24 of the packages that it is about to replace. */
function otherFolders() {
  return (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(modules));
}

export function complain(code, line) {
  console.error(line);
  return code;
}

const codeOf = (signal) => 128 + constants.signals[signal];
